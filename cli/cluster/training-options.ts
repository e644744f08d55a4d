// The options that `lockstep train` and `lockstep resume` share.

import type { Argv } from 'yargs';
import type { LocalTrainingArguments } from './train-locally.js';

/** Adds --workers, --stop-after, --nats, --standby, --restarts, --allow-faults and --json. */
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
