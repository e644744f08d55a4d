// The workers of a local run: as many as the run is to have, started again when they die.
// Drained ones leave by themselves; who is drained the coordinator decides.

import { exitCodes } from '../../shared/exit-codes.js';
import { describeDeparture, type Child, type Departure } from '../processes.js';
import { afterWorker } from './restart-policy.js';

export interface WorkerCrewOptions {
  /** Starts the process of a worker. */
  start(worker: string): Child;
  /** How many more processes may be started again; shared with the coordinators. */
  readonly restarts: { left: number };
  readonly onNotice: (text: string) => void;
  /** One has left for good; `isGivenUp`: it was needed, but has been started too often. */
  onGone(worker: string, departure: Departure, isGivenUp: boolean): void;
}

export interface WorkerCrew {
  /** Workers that run or are about to be started again. */
  readonly size: number;
  /** The run is to have so many: starts what is missing. */
  setTarget(workers: number): void;
  /** Starts none any more; ends those that are still there after `graceMs`. */
  leave(graceMs: number): Promise<void>;
}

interface Slot {
  readonly quickDeaths: number;
  /** The process, or the wait before its next start. */
  readonly child: Child | undefined;
  readonly timer: NodeJS.Timeout | undefined;
}

/** Creates a crew without workers. */
export function createWorkerCrew(options: WorkerCrewOptions): WorkerCrew {
  const slots = new Map<string, Slot>();
  /** Of those that are there, how many the coordinator is going to drain. */
  let draining = 0;
  let isLeaving = false;

  const start = (worker: string, quickDeaths: number): void => {
    const child = options.start(worker);
    const startedMs = performance.now();
    slots.set(worker, { quickDeaths, child, timer: undefined });
    void child.left.then((departure) => departed(worker, departure, startedMs, quickDeaths));
  };
  const departed = (
    worker: string,
    departure: Departure,
    startedMs: number,
    quickDeaths: number,
  ): void => {
    if (isLeaving) return void slots.delete(worker);
    const ageMs = performance.now() - startedMs;
    const life = { ageMs, quickDeaths, restartsLeft: options.restarts.left };
    const verdict = afterWorker(departure, life);
    if (verdict.kind === 'restart') {
      if (verdict.isFree !== true) options.restarts.left -= 1;
      const again = (): void => {
        options.onNotice(`${worker} ${describeDeparture(departure)}; started again`);
        start(worker, verdict.quickDeaths);
      };
      const timer = setTimeout(again, verdict.delayMs);
      slots.set(worker, { quickDeaths: verdict.quickDeaths, child: undefined, timer });
      return;
    }
    slots.delete(worker);
    if (departure.code === exitCodes.drained && draining > 0) draining -= 1;
    options.onGone(worker, departure, verdict.kind === 'givenUp');
  };

  return {
    get size() {
      return slots.size;
    },
    setTarget: (workers) => {
      if (isLeaving) return;
      const staying = slots.size - draining;
      draining += Math.max(0, staying - workers);
      for (const worker of workerNames(workers - staying, (name) => slots.has(name)))
        start(worker, 0);
    },
    leave: async (graceMs) => {
      isLeaving = true;
      for (const { timer } of slots.values()) clearTimeout(timer);
      const children = [...slots.values()].flatMap(({ child }) => child ?? []);
      const timer = setTimeout(() => children.forEach((child) => child.kill('SIGKILL')), graceMs);
      await Promise.all(children.map(({ left }) => left));
      clearTimeout(timer);
    },
  };
}

/** What the first so many workers of a run are called, none of them by a name that is taken. */
export function workerNames(count: number, isTaken = (_name: string): boolean => false): string[] {
  const names: string[] = [];
  for (let i = 0; names.length < count; i++) if (!isTaken(`worker-${i}`)) names.push(`worker-${i}`);
  return names;
}
