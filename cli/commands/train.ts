// `lockstep train`: a coordinator and N workers on this machine, as separate processes.

import type { CommandModule } from 'yargs';
import { requireWorkers } from '../../shared/spec/validate.js';
import { trainingOptions, trainLocally, type TrainingArguments } from '../local/train-locally.js';
import { wordOption } from '../options.js';
import { resolveSpec, withSpecOptions, type SpecArguments } from '../spec-options.js';
import { runUrl } from '../stores.js';

type TrainArguments = SpecArguments & TrainingArguments & { readonly run?: string | undefined };

export const trainCommand: CommandModule<object, TrainArguments> = {
  command: 'train',
  describe: 'Train a run from its spec with N worker processes on this machine',
  builder: (y) =>
    withSpecOptions(y)
      .options(trainingOptions)
      .option('run', wordOption('Folder (url) or id of the new run; default: runs/NAME-TIME'))
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
    requireWorkers('the run can not start', args.workers, spec.batch.microShards);
    const run = args.run ?? `${spec.name}-${timestamp()}`;
    await trainLocally(args, runUrl(run, { key: '--run' }), spec);
  },
};

/** "20261123-181530": local runs differ by when they started. */
function timestamp(): string {
  const digits = new Date().toISOString().replace(/\D/g, '');
  return `${digits.slice(0, 8)}-${digits.slice(8, 14)}`;
}
