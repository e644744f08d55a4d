// `lockstep worker`: one worker process. Usually started by `lockstep train` or by Kubernetes.

import { availableParallelism } from 'node:os';
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import { OperatorError } from '../../shared/problems.js';
import { workerMain } from '../../worker/main.js';
import { printNote } from '../output.js';
import { storeOptions } from '../store-options.js';
import { stopOnSignals } from '../cluster/stop-signal.js';

interface WorkerArguments {
  coordinator: string;
  id: string;
  listen: string;
  advertise?: string | undefined;
  cacheMib: number;
  threads: number;
}

export const workerCommand: CommandModule<object, WorkerArguments> = {
  command: 'worker',
  describe: 'Run one worker: it joins a coordinator, computes gradients and exchanges them',
  builder: (y) =>
    y
      .option('coordinator', {
        type: 'string',
        demandOption: true,
        describe: 'host:port of the coordinator',
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
        describe: 'compute threads at most, if the spec asks for more',
      })
      .example(
        '$0 worker --coordinator HOST:7400 --id w-1 --listen 0.0.0.0:7401 --advertise HOST-1',
        'join the run of a coordinator on another machine',
      ) as Argv<object> as Argv<WorkerArguments>,
  handler: runWorker,
};

async function runWorker(args: ArgumentsCamelCase<WorkerArguments>): Promise<void> {
  const host = args.listen.slice(0, args.listen.lastIndexOf(':'));
  const advertise = args.advertise ?? host;
  const anywhere = ['0.0.0.0', '[::]', ''];
  if (anywhere.includes(advertise))
    throw new OperatorError('the worker can not start', [
      {
        key: '--advertise',
        given: args.advertise,
        allowed: 'a host name or address that the other workers can reach',
        hint: `--listen ${args.listen} does not name one`,
      },
    ]);
  const { exitCode, reason } = await workerMain({
    coordinator: args.coordinator,
    worker: args.id,
    listen: args.listen,
    advertise,
    cacheMib: args.cacheMib,
    maxThreads: args.threads,
    storeOptions: storeOptions(),
    warn: (text) => printNote(`${args.id}: ${text}`),
    stop: stopOnSignals(() => printNote('stopping after this step; once more ends at once')),
  });
  if (exitCode !== 0) printNote(`${args.id}: ${reason}`);
  process.exitCode = exitCode;
}
