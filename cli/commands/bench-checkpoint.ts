// `lockstep bench checkpoint`: what checkpoints cost the steps of a run on this machine.

import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import { benchCheckpoints } from '../../bench/turns/checkpoint-turns.js';
import { requireRanges } from '../number-ranges.js';
import { numberOption } from '../options.js';
import { printFigures, printNote } from '../output.js';
import { resolveSpec, withSpecOptions, type SpecArguments } from '../spec-options.js';

const checkpointOptions = {
  workers: numberOption('Worker processes', { default: 2 }),
  'every-steps': numberOption('Steps from one checkpoint to the next', { default: 10 }),
  checkpoints: numberOption('Checkpoints of a run that are measured', { default: 3 }),
  rounds: numberOption('Rounds: a run without and one with', { default: 3 }),
  json: { type: 'boolean', describe: 'Print JSON on one line' },
} as const satisfies Record<string, Options>;

export const checkpointBenchCommand: CommandModule<
  object,
  SpecArguments & InferredOptionTypes<typeof checkpointOptions>
> = {
  command: 'checkpoint',
  describe: 'Time the steps of a run with checkpoints, over the same run without, in turns',
  builder: (y) =>
    withSpecOptions(y)
      .options(checkpointOptions)
      .example(
        '$0 bench checkpoint --preset paper --set batch.microShards=2 --set batch.size=2',
        'What storing 300 MB costs short steps',
      ),
  handler: async (args) => {
    const { workers, everySteps, checkpoints, rounds } = args;
    requireRanges('checkpoints cannot be timed', {
      '--workers': [workers, 1, 16],
      '--every-steps': [everySteps, 2, 10_000],
      '--checkpoints': [checkpoints, 1, 1000],
      '--rounds': [rounds, 1, 1000],
    });
    const counts = { workers, everySteps, checkpoints, rounds };
    const options = { spec: resolveSpec(args, 'paper'), ...counts, say: printNote };
    printFigures(await benchCheckpoints(options), args.json === true);
  },
};
