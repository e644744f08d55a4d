// The object store of a simulation: atomic puts, conditional ones, listings; outages in
// which operations fail or hang; writes of a process that died on the way; flipped bits.

import type { Dice } from './dice.js';
import { waitFor, type SimClock, type SimProcess, type Task } from './process.js';

/** How long a client waits before it tries again. */
const retryMs = 300;

type Outcome<T> = { readonly value: T } | 'failed';

export class ObjectDisk {
  readonly #clock: SimClock;
  readonly #dice: Dice;
  readonly #objects = new Map<string, string>();
  /** Objects that are not what was written. */
  readonly #flipped = new Set<string>();
  #outage: { readonly mode: 'fails' | 'hangs'; readonly untilMs: number } | undefined;

  constructor(clock: SimClock, dice: Dice) {
    this.#clock = clock;
    this.#dice = dice;
  }

  /** Writes an object, again and again until it is written. */
  put(process: SimProcess, key: string, body: string): Task {
    return this.#persist(process, () => {
      // What was on its way when its process died may arrive, in part, or not at all. What is
      // there is replaced as a whole, or stays.
      const fate = process.isAlive ? 1 : this.#dice.uniform();
      if (fate > 0.5) this.#flipped.delete(key);
      if (fate > 0.5) this.#objects.set(key, body);
      else if (fate > 0.25 && !this.#objects.has(key))
        this.#objects.set(key, body.slice(0, body.length >> 1));
    });
  }

  /** Writes an object unless there is one; says whether it did. */
  putIfAbsent(process: SimProcess, key: string, body: string): Task<boolean> {
    return this.#persist(process, () => {
      if (this.#objects.has(key)) return false;
      this.#objects.set(key, body);
      return true;
    });
  }

  get(process: SimProcess, key: string): Task<string | undefined> {
    return this.#persist(process, () => this.#objects.get(key));
  }

  list(process: SimProcess, prefix: string): Task<string[]> {
    return this.#persist(process, () => this.keys(prefix));
  }

  delete(process: SimProcess, key: string): Task {
    return this.#persist(process, () => void this.#objects.delete(key));
  }

  /** For oracles and faults: what is there, at no cost. */
  keys(prefix: string): string[] {
    return [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  peek(key: string): string | undefined {
    return this.#objects.get(key);
  }

  /** Changes one character of an object. */
  flip(key: string): void {
    const body = this.#objects.get(key);
    if (body === undefined || body.length === 0) return;
    const at = this.#dice.integer(0, body.length - 1);
    const other = body[at] === '0' ? '1' : '0';
    this.#objects.set(key, body.slice(0, at) + other + body.slice(at + 1));
    this.#flipped.add(key);
  }

  /** A fault: the object is gone. */
  remove(key: string): void {
    this.#objects.delete(key);
  }

  /** A fault: another object is there. */
  replace(key: string, body: string): void {
    this.#objects.set(key, body);
  }

  /** Whether a fault has changed the object since it was written. */
  isFlipped(key: string): boolean {
    return this.#flipped.has(key);
  }

  fail(mode: 'fails' | 'hangs', forMs: number): void {
    this.#outage = { mode, untilMs: this.#clock.nowMs + forMs };
  }

  heal(): void {
    this.#outage = undefined;
  }

  *#persist<T>(process: SimProcess, operate: () => T): Task<T> {
    for (;;) {
      const outcome = yield* waitFor<Outcome<T>>((resume) => this.#attempt(operate, resume));
      if (outcome !== 'failed') return outcome.value;
      yield* process.sleep(retryMs);
    }
  }

  #attempt<T>(operate: () => T, resume: (outcome: Outcome<T>) => void): void {
    this.#clock.after(this.#dice.between(2, 30), () => {
      const { mode, untilMs } = this.#outage ?? { mode: 'fails', untilMs: 0 };
      if (untilMs <= this.#clock.nowMs) return resume({ value: operate() });
      if (mode === 'fails') return resume('failed');
      // A request that hangs is looked at again; healing may come earlier than was said.
      this.#attempt(operate, resume);
    });
  }
}
