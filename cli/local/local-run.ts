// A run on one machine: a coordinator (and a standby, if wanted) and N workers, each a process
// of its own, started the way a person would start them on several machines, and started again
// when they die, until the run ends.

import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import type { DeviceCount } from '../../shared/spec/engines.js';
import type { Provider } from '../../worker/engine/engine.js';
import {
  createChildren,
  describeDeparture,
  type Child,
  type Children,
  type Departure,
} from '../processes.js';
import { createCoordinators, type Coordinators, type SeatStart } from './coordinators.js';
import { deviceVariables } from './devices.js';
import { usualLanes } from './lanes.js';
import {
  isResult,
  keepLine,
  runResult,
  type EarlyEnd,
  type KeptLines,
  type RunLine,
} from './run-lines.js';
import { createWorkerCrew, type WorkerCrew } from './worker-crew.js';

/** How long workers may take to leave after the coordinator has reported the result. */
const leaveMs = 2_000;

/** How long the coordinator may take to end a run that has lost its workers for good. */
const graceMs = 5_000;

/** How long it may take when it was asked to: it may be frozen. */
const outliveMs = 20_000;

/** Seconds that workers wait for a coordinator that is away. */
const patienceS = 60;

export interface LocalRunOptions {
  /** Folder of the run, whose record is there. */
  readonly runUrl: string;
  /** Further arguments of `lockstep coordinator`. */
  readonly coordinatorArgs: readonly string[];
  /** Variables of all processes, in which secrets may be. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workers: number;
  /** How many processes may be started again in all. */
  readonly restarts: number;
  readonly hasStandby: boolean;
  readonly allowsFaults: boolean;
  /** What the engine computes with; undefined: its own choice. */
  readonly provider: Provider | undefined;
  /** Devices that each worker drives. */
  readonly devices: DeviceCount;
  /** Lanes of each worker's exchange; undefined: by the cores that compute leaves free. */
  readonly lanes: number | undefined;
  /** GPUs that workers are given in turn; empty: they get none. */
  readonly gpus: readonly string[];
  /** Each line of the coordinators, parsed; the last one is the result. */
  readonly onLine: (line: RunLine) => void;
  /** What a process says on stderr. */
  readonly onComplaint: (text: string) => void;
  readonly stop: AbortSignal;
}

/** Runs a local run to the end of its run; resolves with its exit code. */
export async function runLocally(options: LocalRunOptions): Promise<number> {
  const addresses = await freeAddresses(options.hasStandby ? 2 : 1);
  return new LocalRun(options, addresses).run();
}

class LocalRun {
  readonly #options: LocalRunOptions;
  readonly #addresses: readonly string[];
  readonly #children: Children;
  readonly #crew: WorkerCrew;
  readonly #coordinators: Coordinators;
  #kept: KeptLines = {};
  #target: number;
  /** A coordinator listens, or did. */
  #isHeard = false;
  /** The highest step shown so far, by the kind of line. */
  readonly #shownSteps = new Map<string, number>();
  /** The reason why we asked for the end ourselves. */
  #early: EarlyEnd | undefined;
  #leaving: Promise<void> | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: LocalRunOptions, addresses: readonly string[]) {
    this.#options = options;
    this.#addresses = addresses;
    this.#target = options.workers;
    this.#children = createChildren(options.onComplaint, readEnvironment().logLevel ?? 'silent', {
      ...options.environment,
      ...deviceVariables(options.devices),
    });
    const restarts = { left: options.restarts };
    this.#crew = createWorkerCrew({
      restarts,
      start: (worker) => this.#startWorker(worker),
      onNotice: (text) => options.onLine({ kind: 'notice', text }),
      onGone: (...gone) => this.#workerGone(...gone),
    });
    this.#coordinators = createCoordinators({
      ...{ addresses, workers: this.#target, restarts },
      start: (seat, onText) => this.#startCoordinator(seat, onText),
      onLine: (line) => this.#take(line),
    });
  }

  async run(): Promise<number> {
    const { stop, onLine } = this.#options;
    this.#coordinators.start();
    // They load what they need while it does, and wait for it.
    this.#crew.setTarget(this.#target);
    const onStop = (): void => this.#coordinators.askToStop();
    stop.addEventListener('abort', onStop);
    if (stop.aborted) onStop();
    const departure = await this.#coordinators.over;
    stop.removeEventListener('abort', onStop);
    this.#timers.forEach(clearTimeout);
    // Where nobody ever listened they have nothing to finish.
    await (this.#leaving ?? this.#crew.leave(this.#isHeard ? leaveMs : 0));
    this.#coordinators.killAll();
    const ended = runResult(this.#kept, departure, this.#target, stop.aborted, this.#early);
    if (ended.line !== undefined) onLine(ended.line);
    return ended.exitCode;
  }

  #take(line: RunLine): void {
    this.#kept = keepLine(this.#kept, line);
    if (!isResult(line) && this.#isNews(line)) this.#options.onLine(line);
    if (line['kind'] === 'listening') this.#isHeard = true;
    if (line['kind'] === 'target') this.#retarget(Number(line['workers']));
    if (!isResult(line)) return;
    this.#leaving ??= this.#crew.leave(leaveMs);
    this.#killAfter(outliveMs);
  }

  /** A coordinator that takes over hears again what the last one may not have reported. */
  #isNews({ kind, step }: RunLine): boolean {
    if (kind === 'rollback')
      for (const [shown, newest] of this.#shownSteps)
        if (shown !== 'checkpoint') this.#shownSteps.set(shown, Math.min(newest, Number(step)));
    if (kind !== 'step' && kind !== 'evaluation' && kind !== 'checkpoint') return true;
    if (Number(step) <= (this.#shownSteps.get(kind) ?? -1)) return false;
    this.#shownSteps.set(kind, Number(step));
    return true;
  }

  #retarget(workers: number): void {
    this.#target = workers;
    this.#coordinators.setWorkers(workers);
    this.#crew.setTarget(workers);
  }

  /** The coordinator ends such a run by itself, unless it did not hear of it, or is frozen. */
  #workerGone(worker: string, departure: Departure, isGivenUp: boolean): void {
    // Whether one worker's mistake ends the run, the coordinator decides.
    if (this.#crew.size > 0 || this.#timers.length > 0) return;
    const ask = (): void => {
      this.#early = earlyEnd(worker, departure, isGivenUp);
      this.#coordinators.askToStop();
    };
    this.#timers.push(setTimeout(ask, graceMs));
    this.#killAfter(graceMs + outliveMs);
  }

  #killAfter(ms: number): void {
    this.#timers.push(setTimeout(() => this.#coordinators.killAll(), ms));
  }

  #startWorker(worker: string): Child {
    const { workers, allowsFaults, onLine, provider, devices, lanes, gpus } = this.#options;
    // Workers share the cores; an engine whose bytes depend on threads takes the spec's.
    const cores = availableParallelism() / workers;
    const threads = Math.max(1, Math.floor(cores));
    const number = Number(worker.slice(worker.lastIndexOf('-') + 1));
    const gpu = gpus[number % gpus.length];
    const isOnCpu = (provider ?? 'cpu') === 'cpu';
    const child = this.#children.start([
      ...['worker', '--coordinator', this.#addresses.join(','), '--id', worker],
      ...['--threads', String(threads), '--patience', String(patienceS)],
      ...['--lanes', String(lanes ?? usualLanes(0, cores, isOnCpu ? threads : 1))],
      ...(allowsFaults ? ['--allow-faults'] : []),
      ...(provider === undefined ? [] : ['--provider', provider]),
      ...(gpu === undefined ? ['--devices', String(devices)] : ['--gpu', gpu]),
    ]);
    onLine({ kind: 'worker', worker, pid: child.pid });
    return child;
  }

  #startCoordinator(seat: SeatStart, onText: (text: string) => void): Child {
    const { runUrl, coordinatorArgs, hasStandby } = this.#options;
    const { address, workers } = seat;
    return this.#children.start(
      [
        ...['coordinator', '--resume', '--run', runUrl, ...coordinatorArgs],
        ...(hasStandby ? ['--standby'] : []),
        ...['--json', '--listen', address, '--workers', String(workers)],
      ],
      onText,
    );
  }
}

/** Why the run ends if its coordinator has to be asked to; undefined when workers just left. */
function earlyEnd(worker: string, left: Departure, isGivenUp: boolean): EarlyEnd | undefined {
  if (left.code === exitCodes.configuration)
    return { exitCode: left.code, reason: `${worker} ${describeDeparture(left)}` };
  if (!isGivenUp) return undefined;
  const reason = `${worker} ${describeDeparture(left)}, and no worker is started again any more`;
  return { exitCode: exitCodes.workerLost, reason };
}

/**
 * Below the ports that systems give to outgoing connections: else a worker that dials a
 * coordinator which is away could be given that very port, and hold it.
 */
const [lowest, highest] = [17_000, 32_000];
const tries = 100;

/** `count` different addresses of this machine at which nobody listens. */
async function freeAddresses(count: number): Promise<string[]> {
  const ports = new Set<number>();
  for (let i = 0; i < tries && ports.size < count; i++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    if (await isFree(port)) ports.add(port);
  }
  if (ports.size < count)
    throw new Error(`no free port on 127.0.0.1 from ${lowest} to ${highest}, in ${tries} tries`);
  return [...ports].map((port) => `127.0.0.1:${port}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
