// Whom a step waited for: adds up, for each peer, the time in which it alone was awaited.

import type { Rank } from '../../shared/words.js';
import type { Reduced } from './exchange.js';

/** The waiting times of one step after the other. Told the time; reads no clock. */
export class Lateness {
  readonly #waitedMs = new Map<Rank, number>();
  #alone: Rank | undefined;
  #sinceMs = 0;

  /** From now on `alone` is the only peer awaited; undefined when there are several, or none. */
  note(alone: Rank | undefined, nowMs: number): void {
    if (alone === this.#alone) return;
    this.#add(nowMs);
    this.#alone = alone;
    this.#sinceMs = nowMs;
  }

  /** The step is over: says whom it waited for longest, and starts again from nothing. */
  take(nowMs: number): Reduced {
    this.note(undefined, nowMs);
    let reduced: Reduced = { waitedFor: undefined, waitedMs: 0 };
    for (const [waitedFor, waitedMs] of this.#waitedMs) {
      if (waitedMs > reduced.waitedMs) reduced = { waitedFor, waitedMs };
    }
    this.#waitedMs.clear();
    return reduced;
  }

  #add(nowMs: number): void {
    if (this.#alone === undefined) return;
    const before = this.#waitedMs.get(this.#alone) ?? 0;
    this.#waitedMs.set(this.#alone, before + nowMs - this.#sinceMs);
  }
}
