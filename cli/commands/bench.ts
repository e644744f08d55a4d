// `lockstep bench`: measurements of this machine, one subcommand each.

import type { CommandModule } from 'yargs';
import { benchCoordinatorCommand } from './bench-coordinator.js';
import { benchEnginesCommand } from './bench-engines.js';
import { benchExchangeCommand } from './bench-exchange.js';
import { benchStepCommand } from './bench-step.js';

export const benchCommand: CommandModule = {
  command: 'bench <what>',
  describe: 'Measure what this machine can do',
  builder: (y) =>
    y
      .command(benchStepCommand)
      .command(benchEnginesCommand)
      .command(benchExchangeCommand)
      .command(benchCoordinatorCommand)
      .demandCommand(1),
  handler: () => undefined,
};
