// `lockstep worker`: one worker process. Usually started by `lockstep train` or by Kubernetes.

import { availableParallelism } from 'node:os';
import type { ArgumentsCamelCase, CommandModule, InferredOptionTypes, Options } from 'yargs';
import { readEnvironment, showOnlyGpu } from '../../shared/environment.js';
import { parseHttpPlace } from '../../shared/http/server.js';
import { workerIdPattern } from '../../shared/control/messages.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import type { ListenPlace } from '../../shared/tls/doors.js';
import { providers } from '../../worker/engine/engine.js';
import { workerMain } from '../../worker/main.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { devicesBesideGpus, devicesOption, parseDevices } from '../local/devices.js';
import { chooseDevices, runGpuWorkers } from '../local/gpus.js';
import { lanesOption, lanesRange, usualLanes } from '../local/lanes.js';
import { rangeProblems } from '../number-ranges.js';
import { flagOption, numberOption, textOption, wordOption } from '../options.js';
import { printNote } from '../output.js';
import { chooseDoors, doorFlags, doorOptions } from '../tls/tls-options.js';
import { storeOptions } from '../stores.js';
import { exitWithParent, logHelp, logLevel } from '../processes.js';

const options = {
  coordinator: textOption(
    'host:port of the coordinator; with commas, also of those that stand by',
    { demandOption: true },
  ),
  id: textOption('name of the worker, its own in the run; ranks are in the order of names', {
    demandOption: true,
  }),
  listen: textOption('host:port that other workers pull gradients from; port 0: any', {
    default: '127.0.0.1:0',
  }),
  advertise: textOption('host that other workers reach this one by (default: that of --listen)'),
  lanes: lanesOption,
  'cache-mib': numberOption('decoded pictures kept in memory, in MiB', { default: 512 }),
  threads: numberOption(
    'compute threads at most, if the spec asks for more (TensorFlow: always as the spec)',
    { default: availableParallelism(), defaultDescription: 'the cores of this machine' },
  ),
  provider: {
    choices: providers,
    describe: "what the spec's engine computes with (default: cpu, and tensorflow any GPU)",
  },
  devices: devicesOption,
  gpus: wordOption('all, or numbers with commas between them: one worker process a GPU'),
  gpu: wordOption('the GPU that this process computes on', { hidden: true }),
  patience: numberOption(
    'seconds without any coordinator after which it gives up; until then it trains',
    { default: 600 },
  ),
  'drain-timeout': numberOption('seconds that leaving in order may take, after SIGTERM', {
    default: 20,
  }),
  ...doorOptions,
  metrics: wordOption(
    'host:port that answers Prometheus and probes: /metrics, /healthz, /readyz; --gpus counts up',
  ),
  'allow-faults': flagOption('obey lockstep chaos where it asks to misbehave'),
  'exit-with-parent': flagOption('end when stdin is closed', { hidden: true }),
} as const satisfies Record<string, Options>;

type WorkerArguments = InferredOptionTypes<typeof options>;
type Arguments = ArgumentsCamelCase<WorkerArguments>;

/** Of all processes of `--gpus` together; what dies more often has a reason that stays. */
const mostRestarts = 100;

export const workerCommand: CommandModule<object, WorkerArguments> = {
  command: 'worker',
  describe: 'Run one worker: it joins a coordinator, computes gradients and exchanges them',
  builder: (y) =>
    y
      .options(options)
      .epilogue(logHelp)
      .example(
        '$0 worker --coordinator HOST:7400 --id w-1 --listen 0.0.0.0:7401 --advertise HOST-1 ' +
          '--tls-dir tls',
        'join the run of a coordinator on another machine; see lockstep tls init',
      )
      .example(
        '$0 worker --coordinator HOST:7400 --id node-1 --gpus all',
        'a worker for each GPU: node-1-gpu0, node-1-gpu1, ...',
      )
      .example(
        '$0 worker --coordinator HOST:7400 --id node-1 --provider cuda --devices all',
        'one worker for all GPUs, with engine.name xla in the spec',
      )
      .example(
        '$0 worker --coordinator HOST:7400 --id w-1 --metrics 127.0.0.1:9464',
        'answer Prometheus as well, at http://127.0.0.1:9464/metrics',
      ),
  handler: runWorker,
};

async function runWorker(args: Arguments): Promise<void> {
  requireOptions(args);
  if (args.exitWithParent) exitWithParent();
  const say = (): void => printNote(`${args.id} leaves after this step; once more ends it at once`);
  const stop = stopWhenInterrupted({
    outlivesReaders: true,
    ...(args.exitWithParent ? {} : { onStop: say }),
  });
  if (args.gpus !== undefined) return runOnGpus(args, chooseDevices(args.gpus), stop);
  if (args.gpu !== undefined) showOnlyGpu(args.gpu);
  const advertise = args.advertise ?? hostOf(args.listen);
  const tls = chooseDoors(args, { role: 'worker', worker: args.id }, doorsOf(args));
  const { exitCode, reason } = await workerMain({
    coordinators: args.coordinator.split(','),
    worker: args.id,
    listen: args.listen,
    advertise,
    lanes: lanesOf(args),
    cacheMib: args.cacheMib,
    maxThreads: args.threads,
    provider: args.provider,
    devices: parseDevices(args.devices),
    patienceMs: args.patience * 1000,
    drainMs: args.drainTimeout * 1000,
    allowsFaults: args.allowFaults,
    storeOptions: storeOptions(),
    logLevel: logLevel(),
    otlpEndpoint: readEnvironment().otlpEndpoint,
    metrics: args.metrics,
    tls,
    warn: (text) => printNote(`${args.id}: ${text}`),
    stop,
  });
  if (exitCode !== 0) printNote(`${args.id}: ${reason}`);
  process.exitCode = exitCode;
}

function doorsOf({ listen, metrics }: Arguments): ListenPlace[] {
  const peers = { key: '--listen', at: listen };
  return metrics === undefined ? [peers] : [peers, { key: '--metrics', at: metrics }];
}

/** One process a device; each gets its share of the threads, and a name and a port of its own. */
async function runOnGpus(
  args: Arguments,
  devices: readonly string[],
  stop: AbortSignal,
): Promise<void> {
  const threads = Math.max(1, Math.floor(args.threads / devices.length));
  const lanes = lanesOf(args, devices.length);
  const host = hostOf(args.listen);
  process.exitCode = await runGpuWorkers({
    devices,
    argumentsOf: (device, i) => [
      ...['worker', '--coordinator', args.coordinator, '--id', `${args.id}-gpu${i}`],
      ...['--listen', countedUp(args.listen, i * lanes), '--lanes', String(lanes)],
      ...['--advertise', args.advertise ?? host, '--cache-mib', String(args.cacheMib)],
      ...['--threads', String(threads), '--provider', 'cuda', '--gpu', device],
      ...['--patience', String(args.patience), '--drain-timeout', String(args.drainTimeout)],
      ...(args.metrics === undefined ? [] : ['--metrics', countedUp(args.metrics, i)]),
      ...(args.allowFaults ? ['--allow-faults'] : []),
      ...doorFlags(args),
    ],
    restarts: mostRestarts,
    onNotice: printNote,
    logLevel: logLevel(),
    stop,
  });
}

/** As many as are given, or what is usual for each of some processes of this machine. */
function lanesOf(args: Arguments, processes = 1): number {
  const { lanes, listen, threads, provider, gpu, gpus } = args;
  const isOnCpu = (provider ?? 'cpu') === 'cpu' && (gpu ?? gpus) === undefined;
  const cores = availableParallelism() / processes;
  return lanes ?? usualLanes(portOf(listen), cores, isOnCpu ? threads : 1);
}

/** Refuses what could only fail later. */
function requireOptions(args: Arguments): void {
  const problems: Problem[] = rangeProblems(lanesRange(args.lanes));
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
  // With a suffix for each GPU it must still be one.
  if (!workerIdPattern.test(args.gpus === undefined ? args.id : `${args.id}-gpu99`))
    problems.push({
      key: '--id',
      given: args.id,
      allowed: 'at most 63 letters, digits, dots, dashes and underscores, a letter or digit first',
    });
  if (args.gpus !== undefined && args.provider !== undefined && args.provider !== 'cuda')
    problems.push({
      key: '--provider',
      given: args.provider,
      allowed: 'cuda, with --gpus: no other provider can be told its GPU',
    });
  if (args.gpus !== undefined && parseDevices(args.devices) !== 1)
    problems.push(devicesBesideGpus(args.devices));
  if (args.metrics !== undefined && parseHttpPlace(args.metrics) === undefined)
    problems.push({ key: '--metrics', given: args.metrics, allowed: 'HOST:PORT' });
  for (const [key, given] of [
    ['--patience', args.patience],
    ['--drain-timeout', args.drainTimeout],
  ] as const)
    if (!(given > 0)) problems.push({ key, given, allowed: 'seconds, more than 0' });
  if (problems.length > 0) throw new OperatorError('the worker can not start', problems);
}

/** The address of the i-th process; any port stays any port. */
function countedUp(address: string, i: number): string {
  const port = portOf(address);
  return `${hostOf(address)}:${port === 0 ? 0 : port + i}`;
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}
