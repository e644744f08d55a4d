// Who has been silent for too long, in ticks. Knows no clock: it is told when a tick happens.

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
