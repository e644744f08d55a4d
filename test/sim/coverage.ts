// How often each fault happened and each decision was taken: what the seeds have exercised.

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
