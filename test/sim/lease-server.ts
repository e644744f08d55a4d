// The server of a simulated election: one object that is replaced by version, behind a network in
// which each message takes its time, gets lost, or arrives long after nobody waits for it any more.

import type { ElectionEffect, ElectionEvent, SeenLease } from '../../coordinator/core/election.js';
import type { SimClock } from './clock.js';
import type { Dice } from './dice.js';

export type LeaseRequest = Extract<ElectionEffect, { readonly kind: 'read' | 'write' }>;

export interface LeaseServerOptions {
  readonly forgetsVersions: boolean;
  readonly slowestMs: number;
}

/** What ails it; it is "slow" for messages both ways. */
export type Ailment = 'away' | 'busy' | 'slow';

export class LeaseServer {
  readonly #clock: SimClock;
  readonly #dice: Dice;
  readonly #options: LeaseServerOptions;
  #lease: SeenLease | undefined;
  #writes = 0;
  /** How many cuts there are, by "node to" and "node from". */
  readonly #cuts = new Map<string, number>();
  readonly #ailments = new Map<Ailment, number>();

  constructor(clock: SimClock, dice: Dice, options: LeaseServerOptions) {
    this.#clock = clock;
    this.#dice = dice;
    this.#options = options;
  }

  /** Sends a request; `wallMs` is what the sender's clock shows. The answer may never come. */
  ask(
    node: string,
    request: LeaseRequest,
    wallMs: number,
    answer: (event: ElectionEvent) => void,
  ): void {
    if (this.#isLost(node, 'to')) return;
    this.#clock.after(this.#delayMs(), () => {
      const event = this.#serve(request, wallMs);
      if (this.#isLost(node, 'from')) return;
      this.#clock.after(this.#delayMs(), () => answer(event));
    });
  }

  /** Nothing passes between a node and the server, one way. */
  cut(node: string, way: 'to' | 'from', forMs: number): void {
    count(this.#cuts, `${node} ${way}`, 1);
    this.#clock.after(forMs, () => count(this.#cuts, `${node} ${way}`, -1));
  }

  fail(ailment: Ailment, forMs: number): void {
    count(this.#ailments, ailment, 1);
    this.#clock.after(forMs, () => count(this.#ailments, ailment, -1));
  }

  /** Somebody writes what is none of the election's business. */
  annotate(): void {
    if (this.#lease !== undefined) this.#lease = { ...this.#lease, version: this.#version() };
  }

  heal(): void {
    this.#cuts.clear();
    this.#ailments.clear();
  }

  #isAiling(ailment: Ailment): boolean {
    return (this.#ailments.get(ailment) ?? 0) > 0;
  }

  #isLost(node: string, way: 'to' | 'from'): boolean {
    return (this.#cuts.get(`${node} ${way}`) ?? 0) > 0;
  }

  #delayMs(): number {
    if (!this.#isAiling('slow')) return this.#dice.between(0.5, 40);
    return this.#dice.between(0.5, this.#dice.chance(0.5) ? 2_000 : this.#options.slowestMs);
  }

  #serve(request: LeaseRequest, wallMs: number): ElectionEvent {
    if (this.#isAiling('away')) return { kind: 'failed', reason: 'HTTP 503' };
    if (this.#isAiling('busy') && this.#dice.chance(0.7)) {
      const retryAfterMs = 1000 * this.#dice.integer(1, 20);
      return { kind: 'failed', reason: 'HTTP 429', retryAfterMs };
    }
    if (request.kind === 'read') return { kind: 'found', lease: this.#lease };
    const { base, holder, transitions } = request;
    const isAsSeen = base?.version === this.#lease?.version;
    if (!isAsSeen && !this.#options.forgetsVersions) return { kind: 'refused' };
    const [version, stamp] = [this.#version(), String(wallMs)];
    this.#lease = { version, holder, transitions, stamp, leaseMs: 0 };
    return { kind: 'written', lease: this.#lease };
  }

  #version(): string {
    this.#writes += 1;
    return `v${this.#writes}`;
  }
}

/** Counts a fault in or out; after healing there is none left to end. */
function count<K>(counts: Map<K, number>, key: K, by: 1 | -1): void {
  counts.set(key, Math.max(0, (counts.get(key) ?? 0) + by));
}
