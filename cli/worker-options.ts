// The options of `lockstep worker`.

import { availableParallelism } from 'node:os';
import type { Argv } from 'yargs';
import { providers, type Provider } from '../worker/engine/engine.js';

export interface WorkerArguments {
  coordinator: string;
  id: string;
  listen: string;
  advertise?: string | undefined;
  cacheMib: number;
  threads: number;
  provider?: Provider | undefined;
  gpus?: string | undefined;
  gpu?: string | undefined;
  patience: number;
  drainTimeout: number;
  allowFaults: boolean;
  exitWithParent: boolean;
}

/** Adds the options. */
export function withWorkerOptions(y: Argv<object>): Argv<WorkerArguments> {
  return y
    .option('coordinator', {
      type: 'string',
      demandOption: true,
      describe: 'host:port of the coordinator; with commas, also of those that stand by',
    })
    .option('id', {
      type: 'string',
      demandOption: true,
      describe: 'name of the worker, its own in the run; ranks are in the order of names',
    })
    .option('listen', {
      type: 'string',
      default: '127.0.0.1:0',
      describe: 'host:port that other workers pull gradients from; port 0: any',
    })
    .option('advertise', {
      type: 'string',
      describe: 'host that other workers reach this one by (default: that of --listen)',
    })
    .option('cache-mib', {
      type: 'number',
      default: 512,
      describe: 'decoded pictures kept in memory, in MiB',
    })
    .option('threads', {
      type: 'number',
      default: availableParallelism(),
      defaultDescription: 'the cores of this machine',
      describe:
        'compute threads at most, if the spec asks for more (TensorFlow: always as the spec)',
    })
    .option('provider', {
      choices: providers,
      describe: "what the spec's engine computes with (default: cpu, and tensorflow any GPU)",
    })
    .option('gpus', {
      type: 'string',
      requiresArg: true,
      describe: 'all, or numbers with commas between them: one worker process a GPU',
    })
    .option('gpu', {
      type: 'string',
      requiresArg: true,
      hidden: true,
      describe: 'the GPU that this process computes on',
    })
    .option('patience', {
      type: 'number',
      default: 600,
      describe: 'seconds without any coordinator after which it gives up; until then it trains',
    })
    .option('drain-timeout', {
      type: 'number',
      default: 20,
      describe: 'seconds that leaving in order may take, after SIGTERM',
    })
    .option('allow-faults', {
      type: 'boolean',
      default: false,
      describe: 'obey lockstep chaos where it asks to misbehave',
    })
    .option('exit-with-parent', {
      type: 'boolean',
      default: false,
      hidden: true,
      describe: 'end when stdin is closed',
    }) as Argv<object> as Argv<WorkerArguments>;
}
