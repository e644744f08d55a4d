// `lockstep worker`: one worker process. Usually started by `lockstep train` or by Kubernetes.

import { availableParallelism } from 'node:os';
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { workerMain } from '../../worker/main.js';
import { exitWithParent } from '../cluster/parent-watch.js';
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
  patience: number;
  drainTimeout: number;
  allowFaults: boolean;
  exitWithParent: boolean;
}

export const workerCommand: CommandModule<object, WorkerArguments> = {
  command: 'worker',
  describe: 'Run one worker: it joins a coordinator, computes gradients and exchanges them',
  builder: (y) =>
    y
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
        describe: 'compute threads at most, if the spec asks for more',
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
      })
      .example(
        '$0 worker --coordinator HOST:7400 --id w-1 --listen 0.0.0.0:7401 --advertise HOST-1',
        'join the run of a coordinator on another machine',
      ) as Argv<object> as Argv<WorkerArguments>,
  handler: runWorker,
};

async function runWorker(args: ArgumentsCamelCase<WorkerArguments>): Promise<void> {
  requireOptions(args);
  if (args.exitWithParent) exitWithParent();
  const advertise = args.advertise ?? hostOf(args.listen);
  const { exitCode, reason } = await workerMain({
    coordinators: args.coordinator.split(','),
    worker: args.id,
    listen: args.listen,
    advertise,
    cacheMib: args.cacheMib,
    maxThreads: args.threads,
    patienceMs: args.patience * 1000,
    drainMs: args.drainTimeout * 1000,
    allowsFaults: args.allowFaults,
    storeOptions: storeOptions(),
    warn: (text) => printNote(`${args.id}: ${text}`),
    stop: stopOnSignals(() => printNote('stopping after this step; once more ends at once')),
  });
  if (exitCode !== 0) printNote(`${args.id}: ${reason}`);
  process.exitCode = exitCode;
}

/** Refuses what could only fail later. */
function requireOptions(args: WorkerArguments): void {
  const problems: Problem[] = [];
  const anywhere = ['0.0.0.0', '[::]', ''];
  if (anywhere.includes(args.advertise ?? hostOf(args.listen)))
    problems.push({
      key: '--advertise',
      given: args.advertise,
      allowed: 'a host name or address that the other workers can reach',
      hint: `--listen ${args.listen} does not name one`,
    });
  if (!args.coordinator.split(',').every((one) => /^[^\s,]+:\d{1,5}$/.test(one)))
    problems.push({
      key: '--coordinator',
      given: args.coordinator,
      allowed: 'host:port, or several with commas between them',
    });
  for (const [key, given] of [
    ['--patience', args.patience],
    ['--drain-timeout', args.drainTimeout],
  ] as const)
    if (!(given > 0)) problems.push({ key, given, allowed: 'seconds, more than 0' });
  if (problems.length > 0) throw new OperatorError('the worker can not start', problems);
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}
