// A worker process: the compute side on the main thread (native engines want it), decisions and
// connections in the network thread. Builds both and waits for the end of the run.

import { Worker } from 'node:worker_threads';
import type { LogLevel } from '../shared/environment.js';
import { exitCodes } from '../shared/exit-codes.js';
import { createLog } from '../shared/log.js';
import { messageOf } from '../shared/problems.js';
import type { DeviceCount } from '../shared/spec/engines.js';
import type { StoreOptions } from '../shared/store/open-store.js';
import { createRunningStores } from '../shared/store/notices.js';
import type { TlsPlan } from '../shared/tls/doors.js';
import type { Provider } from './engine/engine.js';
import type { NetworkOptions, ToCompute, ToNetwork } from './network/ports.js';
import { createTraps, signalSelf } from './network/traps.js';
import { createStepRecorder, type StepExporter } from './step-trace/step-recorder.js';
import { createCompute } from './training/compute.js';
import { prepare } from './training/prepare.js';

export interface WorkerMainOptions {
  /** "host:port" of the coordinator and its standbys. */
  readonly coordinators: readonly string[];
  readonly worker: string;
  readonly listen: string;
  readonly advertise: string;
  /** Lanes of the exchange, from 1: threads with a port each. */
  readonly lanes: number;
  readonly storeOptions: StoreOptions;
  /** Decoded pictures kept in memory, in MiB. */
  readonly cacheMib: number;
  /** Threads of the compute engine at most. */
  readonly maxThreads: number;
  /** What the engine is to compute with; undefined: its own choice. */
  readonly provider: Provider | undefined;
  /** Devices that the engine drives. */
  readonly devices: DeviceCount;
  /** Longest time without any coordinator. */
  readonly patienceMs: number;
  /** Longest time that leaving in order may take. */
  readonly drainMs: number;
  /** Obey faults that are injected (lockstep chaos). */
  readonly allowsFaults: boolean;
  /** Where OpenTelemetry's spans go, if anywhere. */
  readonly otlpEndpoint: string | undefined;
  /** Of the JSON lines that both threads write to stderr. */
  readonly logLevel: LogLevel;
  /** "host:port" to answer for metrics and health at; undefined: nowhere. */
  readonly metrics: string | undefined;
  /** By which certificates it is known, and what for; undefined: all is in clear. */
  readonly tls: TlsPlan | undefined;
  readonly stop: AbortSignal;
  readonly warn: (text: string) => void;
}

export interface WorkerResult {
  readonly exitCode: number;
  readonly reason: string;
}

/** Runs a worker until its coordinator ends the run, or it can't go on. */
export async function workerMain(options: WorkerMainOptions): Promise<WorkerResult> {
  const { coordinators, worker, listen, advertise, lanes, stop } = options;
  const { patienceMs, drainMs, allowsFaults, logLevel } = options;
  const incarnation = Date.now();
  const workerData: NetworkOptions = {
    ...{ coordinators, worker, incarnation, listen, advertise, lanes },
    ...{ patienceMs, drainMs, allowsFaults, logLevel },
    ...{ metrics: options.metrics, tls: options.tls },
  };
  const network = new Worker(new URL('./network/network-thread.js', import.meta.url), {
    workerData,
  });
  const traps = createTraps(signalSelf(worker));
  const send = (message: ToNetwork, transfer: readonly ArrayBuffer[] = []): void => {
    traps.onMessage(message);
    network.postMessage(message, transfer);
  };
  const log = createLog({ name: 'worker', level: logLevel, fields: { worker } });
  const stores = createRunningStores(options.storeOptions, options.warn, log);
  const exporter = await openExporter(options);
  const compute = createCompute({
    send,
    recorder: createStepRecorder(send, exporter),
    prepare: (request) => prepare(request, { ...options, storeOptions: stores.options, send, log }),
  });
  const result = new Promise<WorkerResult>((resolve, reject) => {
    network.on('message', (message: ToCompute) => {
      traps.onMessage(message);
      if (message.kind === 'end') resolve(message);
      else if (message.kind === 'trap') traps.set(message.trap);
      else compute.onMessage(message);
    });
    network.on('error', reject);
    network.on('exit', () =>
      resolve({ exitCode: exitCodes.failed, reason: 'the network thread ended' }),
    );
  });
  const onStop = (): void => send({ kind: 'stopAsked' });
  stop.addEventListener('abort', onStop);
  if (stop.aborted) onStop();
  try {
    return await result;
  } finally {
    stop.removeEventListener('abort', onStop);
    await compute.close();
    await exporter?.close();
    stores.close();
  }
}

/** What exports steps; without it a run goes on just the same. */
async function openExporter({
  otlpEndpoint,
  worker,
  warn,
}: WorkerMainOptions): Promise<StepExporter | undefined> {
  if (otlpEndpoint === undefined) return undefined;
  try {
    const { createOtlpExporter } = await import('./step-trace/otlp-exporter.js');
    return createOtlpExporter({ worker, onNotice: warn });
  } catch (error) {
    warn(`no spans are exported: ${messageOf(error)}`);
    return undefined;
  }
}
