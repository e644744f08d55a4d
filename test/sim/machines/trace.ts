// What happened in a simulation: lines, summed up to one SHA-256 by which two runs of a seed are
// compared, and how often each fault happened and each decision was taken.

import { createHash } from 'node:crypto';
import type { SimClock } from './process.js';

const keptLines = 400;

export class Trace {
  readonly #clock: SimClock;
  readonly #print: ((line: string) => void) | undefined;
  readonly #hash = createHash('sha256');
  readonly #lines: string[] = [];
  #pending = '';

  /** `print` gets every line as it happens. */
  constructor(clock: SimClock, print?: (line: string) => void) {
    this.#clock = clock;
    this.#print = print;
  }

  /** Notes one fact about one actor. */
  add(actor: string, text: string): void {
    const line = `${this.#clock.nowMs.toFixed(1).padStart(9)} ${actor.padEnd(14)} ${text}`;
    this.#pending += `${line}\n`;
    if (this.#pending.length > 65_536) this.#flush();
    this.#lines.push(line);
    if (this.#lines.length > 2 * keptLines) this.#lines.splice(0, keptLines);
    this.#print?.(line);
  }

  /** The sum over all lines; nothing can be added afterwards. */
  sha256(): string {
    this.#flush();
    return this.#hash.digest('hex');
  }

  /** The last lines, oldest first. */
  tail(count: number): string[] {
    return this.#lines.slice(-count);
  }

  #flush(): void {
    this.#hash.update(this.#pending);
    this.#pending = '';
  }
}

export class Coverage {
  readonly #counts = new Map<string, number>();

  count(what: string, times = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + times);
  }

  of(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  addAll(other: Coverage): void {
    for (const [what, times] of other.#counts) this.count(what, times);
  }

  /** All counts, by name. */
  entries(): [string, number][] {
    return [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}
