// Times of peers, measured by whoever has a clock: who has been silent for too long, which peer a
// step waited for, and how fast the links bring what it waits for.

import type { Rank } from '../../../shared/words.js';

/** Counts, for each key, the ticks since it was heard of last. */
export class Silence<Key> {
  readonly #tickMs: number;
  readonly #limit: number;
  readonly #ticks = new Map<Key, number>();
  #lastTickMs: number | undefined;

  /** `tickMs` is the interval of the ticks, `silenceMs` the silence that is too long. */
  constructor(tickMs: number, silenceMs: number) {
    this.#tickMs = tickMs;
    this.#limit = Math.ceil(silenceMs / tickMs);
  }

  /** A sign of life; the first one makes the key count. */
  heard(key: Key): void {
    this.#ticks.set(key, 0);
  }

  /** The key does not count any more. */
  forget(key: Key): void {
    this.#ticks.delete(key);
  }

  /**
   * Counts a tick and returns those that have been silent for longer than the limit. Ticks and
   * not time, for a thread that was blocked has not heard silence; and after a tick that came more
   * than two ticks late all counts start again: whatever held us up may have held up the others.
   */
  tick(nowMs: number): Key[] {
    const isLate = this.#lastTickMs !== undefined && nowMs - this.#lastTickMs > 3 * this.#tickMs;
    this.#lastTickMs = nowMs;
    const silent: Key[] = [];
    for (const [key, ticks] of this.#ticks) {
      this.#ticks.set(key, isLate ? 0 : ticks + 1);
      if (!isLate && ticks + 1 > this.#limit) silent.push(key);
    }
    return silent;
  }
}

/**
 * The peer that a step waited for: the one that was for the longest time the only peer whose sums
 * were missing here, and for how long it was. Undefined where no peer was ever the only one: in a
 * world of one, or for a worker that owns no chunk and so needs nobody's sums.
 */
export interface Waited {
  readonly waitedFor: Rank | undefined;
  readonly waitedMs: number;
}

/** The waiting times of one step after the other. */
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

  /** The step is over: returns the peer it waited for longest, and starts again from nothing. */
  take(nowMs: number): Waited {
    this.note(undefined, nowMs);
    let reduced: Waited = { waitedFor: undefined, waitedMs: 0 };
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

/** What came over the link from a peer in whole ticks in which it was awaited. */
export interface LinkRate {
  readonly rank: Rank;
  readonly bytes: number;
  readonly ms: number;
}

/**
 * The rates of the links to peers, from tick to tick. A tick counts when the peer was awaited at
 * both of its ends and something came: a fast link has brought all before the next tick, and of a
 * peer that still computes nothing comes.
 */
export class LinkRates {
  readonly #awaitedMs = new Map<Rank, number>();
  readonly #rates = new Map<Rank, LinkRate>();

  /** At a tick: the bytes of the peer since the last one, and whether it is awaited now. */
  note(rank: Rank, freshBytes: number, isAwaited: boolean, nowMs: number): void {
    const sinceMs = this.#awaitedMs.get(rank);
    if (isAwaited) this.#awaitedMs.set(rank, nowMs);
    else this.#awaitedMs.delete(rank);
    if (!isAwaited || sinceMs === undefined || freshBytes === 0) return;
    const { bytes, ms } = this.#rates.get(rank) ?? { bytes: 0, ms: 0 };
    this.#rates.set(rank, { rank, bytes: bytes + freshBytes, ms: ms + nowMs - sinceMs });
  }

  /** The step is over: returns the link that took longest, and starts again from nothing. */
  take(): LinkRate | undefined {
    const [longest] = [...this.#rates.values()].sort((a, b) => b.ms - a.ms || a.rank - b.rank);
    this.#rates.clear();
    this.#awaitedMs.clear();
    return longest;
  }
}
