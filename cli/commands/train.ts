// `lockstep train`: a coordinator and N workers on this machine, as separate processes.

import type { CommandModule } from 'yargs';
import { OperatorError } from '../../shared/problems.js';
import { trainLocally, type LocalTrainingArguments } from '../local/train-locally.js';
import { withTrainingOptions } from '../local/training-options.js';
import { runUrl } from '../stores.js';
import { resolveSpec, withSpecOptions, type SpecArguments } from '../spec-options.js';

interface TrainArguments extends SpecArguments, LocalTrainingArguments {
  run?: string | undefined;
}

export const trainCommand: CommandModule<object, TrainArguments> = {
  command: 'train',
  describe: 'Train a run from its spec with N worker processes on this machine',
  builder: (y) =>
    withTrainingOptions(withSpecOptions(y))
      .option('run', {
        type: 'string',
        requiresArg: true,
        describe: 'Folder (url) or id of the new run; default: runs/NAME-TIME',
      })
      .example('$0 train -f run.yaml --workers 2', 'train with two worker processes')
      .example(
        '$0 train --preset demo --set phases.0.steps=100 --workers 3 --json',
        'override a key of a preset; lines for scripts',
      )
      .example(
        '$0 train -f run.yaml --workers 2 --nats nats://localhost:4222 --standby',
        'a second coordinator stands by',
      ),
  handler: async (args) => {
    const spec = resolveSpec(args);
    if (!Number.isInteger(args.workers) || args.workers < 1)
      throw new OperatorError('the run can not start', [
        {
          key: '--workers',
          given: args.workers,
          allowed: `1 to ${spec.batch.microShards}, the spec's batch.microShards`,
        },
      ]);
    const source = args.file === undefined ? ['--preset', args.preset ?? ''] : ['-f', args.file];
    const overrides = (args.set ?? []).flatMap((override) => ['--set', override]);
    const run = runUrl(args.run ?? `${spec.name}-${timestamp()}`);
    await trainLocally(args, run, [...source, ...overrides]);
  },
};

/** "20261123-181530": local runs are told apart by when they started. */
function timestamp(): string {
  const digits = new Date().toISOString().replace(/\D/g, '');
  return `${digits.slice(0, 8)}-${digits.slice(8, 14)}`;
}
