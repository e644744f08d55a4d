// The options that `lockstep train` and `lockstep resume` share.

import type { Argv } from 'yargs';
import { providers } from '../../worker/engine/engine.js';
import type { LocalTrainingArguments } from './train-locally.js';

/** Adds the options of LocalTrainingArguments. */
export function withTrainingOptions<T>(y: Argv<T>): Argv<T & LocalTrainingArguments> {
  return y
    .option('workers', {
      type: 'number',
      default: 1,
      requiresArg: true,
      describe: 'Worker processes; any number up to batch.microShards gives the same bytes',
    })
    .option('stop-after', {
      type: 'number',
      requiresArg: true,
      describe: 'Halt, checkpointed, after this step (exit code 3)',
    })
    .option('nats', {
      type: 'string',
      requiresArg: true,
      describe: 'nats:// url to publish events to ($LOCKSTEP_NATS_URL)',
    })
    .option('standby', {
      type: 'boolean',
      default: false,
      describe: 'A second coordinator, which takes over when the first is lost (needs --nats)',
    })
    .option('restarts', {
      type: 'number',
      default: 100,
      requiresArg: true,
      describe: 'How many processes that die are started again, in all; 0: none',
    })
    .option('provider', {
      choices: providers,
      describe: "What the spec's engine computes with (default: cpu, and tensorflow any GPU)",
    })
    .option('gpus', {
      type: 'string',
      requiresArg: true,
      describe:
        'all, or numbers with commas: GPUs that the workers share, one each if they suffice',
    })
    .option('allow-faults', {
      type: 'boolean',
      default: false,
      describe: 'Workers obey lockstep chaos where it asks them to misbehave',
    })
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'One JSON object a line; the last has run, step, sha256, world, images_per_s',
    }) as Argv<object> as Argv<T & LocalTrainingArguments>;
}
