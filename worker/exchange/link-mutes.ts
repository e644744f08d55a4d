// Which links are muted on purpose (`lockstep chaos`), and until when.

/** The peers that nothing passes to or from for now; owns a timer for each. */
export class LinkMutes {
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #onOver: (worker: string) => void;

  /** `onOver` is called when a mute has lasted its time. */
  constructor(onOver: (worker: string) => void) {
    this.#onOver = onOver;
  }

  /** Mutes a worker for `ms` from now, whether or not it was muted already. */
  set(worker: string, ms: number): void {
    clearTimeout(this.#timers.get(worker));
    const timer = setTimeout(() => {
      this.#timers.delete(worker);
      this.#onOver(worker);
    }, ms);
    this.#timers.set(worker, timer);
  }

  has(worker: string): boolean {
    return this.#timers.has(worker);
  }

  workers(): string[] {
    return [...this.#timers.keys()];
  }

  /** Forgets all, without a call. */
  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
