// The time of a simulated cluster: what is to happen, in a fixed order (time, then the order in
// which it was asked for). Nothing in here waits.

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
