// Time and processes of a simulation. What is to happen has a fixed order (time, then the order in
// which it was asked for). A process can be killed, stand still (SIGSTOP) and go on; whatever
// reaches it while it stands still comes in one burst afterwards.

import type { Clock } from '../../../shared/clock.js';

interface Entry {
  readonly atMs: number;
  readonly number: number;
  readonly run: () => void;
}

/** A discrete event queue; `nowMs` is the time of the event that runs. */
export class SimClock {
  nowMs = 0;
  /** Events that have run. */
  events = 0;
  #number = 0;
  readonly #heap: Entry[] = [];

  /** Runs `run` in `delayMs`; things asked for the same time run in the order asked. */
  after(delayMs: number, run: () => void): void {
    this.#push({ atMs: this.nowMs + Math.max(0, delayMs), number: this.#number++, run });
  }

  /** Runs the next event; false when there is none up to `limitMs`, which it then is. */
  step(limitMs: number): boolean {
    const next = this.#heap[0];
    if (next === undefined || next.atMs > limitMs) {
      this.nowMs = Math.max(this.nowMs, limitMs);
      return false;
    }
    this.#pop();
    this.nowMs = next.atMs;
    this.events += 1;
    next.run();
    return true;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(entry, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child += 1;
      if (!isBefore(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number);
}

/** What a process waits for: given how to go on with the answer. */
export type Start = (resume: (answer: unknown) => void) => void;

/** A piece of work with waits in it; it ends with its process. */
export type Task<T = void> = Generator<Start, T, unknown>;

/** Waits for what `start` answers. */
export function* waitFor<T>(start: (resume: (answer: T) => void) => void): Task<T> {
  return (yield start) as T;
}

/** Its own time is the `Clock` that production code gets in here. */
export class SimProcess implements Clock {
  isAlive = true;
  isFrozen = false;
  /** Counts freezes, so that a late thaw does not end a later freeze. */
  #freezes = 0;
  #backlog: (() => void)[] = [];

  /** `node` is its machine; its own clock is ahead of everybody else's by `clockOffsetMs`. */
  constructor(
    readonly clock: SimClock,
    readonly node: string,
    readonly name: string,
    readonly clockOffsetMs: number,
  ) {}

  /** What its monotonic clock shows. */
  nowMs(): number {
    return this.clock.nowMs + this.clockOffsetMs;
  }

  /** Something reaches the process: now, after the thaw, or never. */
  deliver(run: () => void): void {
    if (!this.isAlive) return;
    if (this.isFrozen) this.#backlog.push(run);
    else run();
  }

  /** Something the process does later; nothing can stop it. */
  deliverAfter(delayMs: number, run: () => void): void {
    this.clock.after(delayMs, () => this.deliver(run));
  }

  after(delayMs: number, run: () => void): () => void {
    let isWanted = true;
    this.deliverAfter(delayMs, () => {
      if (isWanted) run();
    });
    return () => void (isWanted = false);
  }

  /** Ticks missed while frozen are one tick. */
  every(intervalMs: number, run: () => void): () => void {
    let isWanted = true;
    const tick = (): void => {
      if (!isWanted) return;
      run();
      this.deliverAfter(intervalMs, tick);
    };
    this.deliverAfter(intervalMs, tick);
    return () => void (isWanted = false);
  }

  soon(run: () => void): void {
    this.deliverAfter(0, run);
  }

  /** Runs a task to its end, or to that of the process, or while `isWanted`. */
  spawn(task: Task, isWanted: () => boolean = () => true): void {
    const goOn = (answer: unknown): void => {
      if (!this.isAlive || !isWanted()) return;
      const { done, value } = task.next(answer);
      if (done !== true) value((next) => this.deliver(() => goOn(next)));
    };
    goOn(undefined);
  }

  /** Waits, in a task. */
  *sleep(delayMs: number): Task {
    yield* waitFor<void>((resume) => this.clock.after(delayMs, () => resume()));
  }

  freeze(forMs: number): void {
    if (!this.isAlive) return;
    const number = ++this.#freezes;
    this.isFrozen = true;
    this.clock.after(forMs, () => {
      if (number === this.#freezes) this.thaw();
    });
  }

  thaw(): void {
    if (!this.isFrozen) return;
    this.isFrozen = false;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const run of backlog) this.deliver(run);
  }

  /** Nothing happens in it any more. */
  kill(): void {
    this.isAlive = false;
    this.#backlog = [];
  }
}
