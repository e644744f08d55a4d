// `lockstep bench`: measurements of this machine, one subcommand each.

import type { CommandModule } from 'yargs';
import { benchStepCommand } from './bench-step.js';

export const benchCommand: CommandModule = {
  command: 'bench <what>',
  describe: 'Measure what this machine can do',
  builder: (y) => y.command(benchStepCommand).demandCommand(1, 'Name what to measure.'),
  handler: () => undefined,
};
