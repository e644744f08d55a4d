// Simulated contenders for one lease, from one seed: the real decisions, clocks that run at
// different speeds, and a server that is slow, busy, away or cut off. Whatever happens, no two hold
// the lease at a time; once all is healed somebody holds it, and keeps it.

import { createHash } from 'node:crypto';
import {
  defaultElectionTiming,
  elect,
  holdsLease,
  initialElection,
  nextWakeMs,
  type ElectionEffect,
  type ElectionEvent,
  type ElectionState,
  type ElectionTiming,
  type SeenLease,
} from '../../../coordinator/core/election.js';
import { createDice, type Dice } from '../machines/dice.js';
import { SimClock, SimProcess } from '../machines/process.js';

type LeaseServerOptions = Required<Pick<ElectionOptions, 'forgetsVersions' | 'slowestMs'>>;
type LeaseRequest = Extract<ElectionEffect, { readonly kind: 'read' | 'write' }>;

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

/** What a test may do to it, instead of or besides the seed's faults. */
export interface ElectionOptions {
  readonly contenders?: number;
  readonly timing?: Partial<ElectionTiming>;
  /** Each clock is wrong by up to this share. */
  readonly drift?: number;
  /** The server takes any write, whatever it replaces. */
  readonly forgetsVersions?: boolean;
  /** Longest time that a message takes while the server is slow. */
  readonly slowestMs?: number;
  /** Meddles with a contender before it gets an event. */
  readonly meddle?: (state: ElectionState, event: ElectionEvent, nowMs: number) => void;
  /** Nobody gives up waiting for an answer. */
  readonly isPatient?: boolean;
}

export interface ElectionResult {
  readonly seed: number;
  readonly failure: string | undefined;
  readonly sha256: string;
  /** How often the lease was got, and how often lost or given up. */
  readonly acquired: number;
  readonly lost: number;
  readonly released: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly tail: readonly string[];
}

/** Below the bound: (1 + d) / (1 - d) < 1.5. */
const safeDrift = 0.19;
const faultyMs = 180_000;
/** After healing: the longest pause a server asks for, a lease and a few looks, slowly counted. */
const electedMs = 65_000;
const keptMs = 60_000;

/** Runs one seed to its end. Same seed and options, same trace. */
export function runElection(seed: number, options: ElectionOptions = {}): ElectionResult {
  return new SimulatedElection(seed, options).run();
}

/** A process whose clock has a speed of its own, which its timers go by. */
class DriftingProcess extends SimProcess {
  readonly #speed: number;

  constructor(clock: SimClock, name: string, offsetMs: number, speed: number) {
    super(clock, name, name, offsetMs);
    this.#speed = speed;
  }

  override nowMs(): number {
    return this.clockOffsetMs + this.clock.nowMs * this.#speed;
  }

  override deliverAfter(delayMs: number, run: () => void): void {
    super.deliverAfter(delayMs / this.#speed, run);
  }
}

interface Contender {
  readonly process: DriftingProcess;
  readonly election: ElectionState;
  wakes: number;
  asked: number;
}

class SimulatedElection {
  readonly #clock = new SimClock();
  readonly #dice: Dice;
  readonly #seed: number;
  readonly #options: ElectionOptions;
  readonly #timing: ElectionTiming;
  readonly #server: LeaseServer;
  /** By machine: who contends there now. */
  readonly #contenders = new Map<string, Contender>();
  readonly #speeds = new Map<string, number>();
  readonly #trace: string[] = [];
  readonly #sum = createHash('sha256');
  readonly #faults = new Map<string, number>();
  readonly #counts = { acquired: 0, lost: 0, released: 0 };
  #starts = 0;
  #isHealed = false;

  constructor(seed: number, options: ElectionOptions) {
    this.#seed = seed;
    this.#options = options;
    this.#timing = { ...defaultElectionTiming, ...options.timing };
    this.#dice = createDice(seed, 1);
    const { forgetsVersions = false, slowestMs = 20_000 } = options;
    this.#server = new LeaseServer(this.#clock, createDice(seed, 2), {
      ...{ forgetsVersions, slowestMs },
    });
    const { drift = safeDrift } = options;
    const contenders = options.contenders ?? this.#dice.integer(2, 3);
    for (let i = 0; i < contenders; i++) {
      // The ends of the range are where it gets close.
      const share = this.#dice.chance(0.5) ? this.#dice.pick([-1, 1]) : this.#dice.between(-1, 1);
      this.#speeds.set(`node-${i}`, 1 + drift * share);
    }
  }

  run(): ElectionResult {
    for (const node of this.#speeds.keys()) this.#start(node);
    this.#inflictLater();
    const failure = this.#play(faultyMs, 'faults') ?? this.#heal() ?? this.#watchLiveness();
    const { acquired, lost, released } = this.#counts;
    return {
      ...{ seed: this.#seed, failure, acquired, lost, released, faults: this.#faults },
      sha256: this.#sum.digest('hex'),
      tail: this.#trace.slice(-60),
    };
  }

  /** Runs until then; the first moment at which two hold the lease is the failure. */
  #play(untilMs: number, phase: string): string | undefined {
    while (this.#clock.step(untilMs)) {
      const holders = this.#holders();
      if (holders.length > 1) return `${holders.join(' and ')} hold the lease (${phase})`;
    }
    return undefined;
  }

  #holders(): string[] {
    return [...this.#contenders.values()]
      .filter(({ process }) => process.isAlive)
      .filter(({ process, election }) => holdsLease(election, process.nowMs()))
      .map(({ process }) => process.name);
  }

  #heal(): undefined {
    this.#isHealed = true;
    this.#server.heal();
    this.#say('all', 'is healed');
    for (const { process } of this.#contenders.values()) process.thaw();
  }

  #watchLiveness(): string | undefined {
    const elected = this.#play(faultyMs + electedMs, 'healed');
    if (elected !== undefined) return elected;
    const [holder] = this.#holders();
    if (holder === undefined) return `nobody holds the lease ${electedMs} ms after all was healed`;
    const kept = this.#play(faultyMs + electedMs + keptMs, 'kept');
    if (kept !== undefined) return kept;
    const [later] = this.#holders();
    return later === holder ? undefined : `${holder} lost the lease to ${later} without a fault`;
  }

  #start(node: string): void {
    this.#starts += 1;
    const name = `${node}.${this.#starts}`;
    const offsetMs = this.#dice.between(0, 1e9);
    const process = new DriftingProcess(this.#clock, name, offsetMs, this.#speeds.get(node) ?? 1);
    const election = initialElection(name, process.nowMs(), this.#timing);
    const contender = { process, election, wakes: 0, asked: 0 };
    this.#contenders.set(node, contender);
    this.#say(name, 'starts');
    this.#dispatch(node, contender, { kind: 'tick' });
  }

  /** What coordinator/edge/kubernetes-lease.ts does. */
  #dispatch(node: string, contender: Contender, event: ElectionEvent): void {
    const { process, election } = contender;
    if (!process.isAlive) return;
    this.#options.meddle?.(election, event, process.nowMs());
    for (const effect of elect(election, event, process.nowMs()))
      this.#obey(node, contender, effect);
    const wakeMs = nextWakeMs(election);
    const wake = ++contender.wakes;
    if (wakeMs === undefined) return;
    process.after(Math.max(0, wakeMs - process.nowMs()), () => {
      if (wake === contender.wakes) this.#dispatch(node, contender, { kind: 'tick' });
    });
  }

  #obey(node: string, contender: Contender, effect: ElectionEffect): void {
    const { process } = contender;
    if (effect.kind === 'read' || effect.kind === 'write')
      return this.#ask(node, contender, effect);
    this.#say(process.name, Object.values(effect).join(' '));
    if (effect.kind === 'acquired') this.#counts.acquired += 1;
    if (effect.kind !== 'lost' && effect.kind !== 'released') return;
    this.#counts[effect.kind] += 1;
    // Its process ends with that, and another one is started.
    process.kill();
    this.#clock.after(this.#dice.between(500, 5_000), () => this.#start(node));
  }

  #ask(node: string, contender: Contender, request: LeaseRequest): void {
    const { process } = contender;
    const number = ++contender.asked;
    const answer = (event: ElectionEvent): void =>
      process.deliver(() => {
        // An answer to a request that was given up, or one that comes twice.
        if (number !== contender.asked) return;
        contender.asked += 1;
        this.#dispatch(node, contender, event);
      });
    this.#server.ask(node, request, process.nowMs(), answer);
    if (this.#options.isPatient === true) return;
    process.after(this.#timing.requestMs, () => answer({ kind: 'failed', reason: 'no answer' }));
  }

  #inflictLater(): void {
    this.#clock.after(this.#dice.between(500, 15_000), () => {
      if (this.#isHealed) return;
      this.#inflict();
      this.#inflictLater();
    });
  }

  #inflict(): void {
    const node = this.#dice.pick([...this.#speeds.keys()]);
    const contender = this.#contenders.get(node);
    const forMs = this.#dice.between(500, 30_000);
    const faults: Record<string, () => void> = {
      crash: () => {
        if (contender?.process.isAlive !== true) return;
        contender.process.kill();
        this.#clock.after(this.#dice.between(500, 8_000), () => this.#start(node));
      },
      freeze: () => contender?.process.freeze(forMs),
      drain: () => {
        if (contender?.process.isFrozen === false)
          this.#dispatch(node, contender, { kind: 'release' });
      },
      cutTo: () => this.#server.cut(node, 'to', forMs),
      cutFrom: () => this.#server.cut(node, 'from', forMs),
      away: () => this.#server.fail('away', forMs / 2),
      busy: () => this.#server.fail('busy', forMs / 2),
      slow: () => this.#server.fail('slow', forMs),
      annotate: () => this.#server.annotate(),
    };
    const kind = this.#dice.pick(Object.keys(faults));
    this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + 1);
    this.#say(node, `fault ${kind} for ${Math.round(forMs)} ms`);
    faults[kind]?.();
  }

  #say(who: string, what: string): void {
    const line = `${this.#clock.nowMs.toFixed(1).padStart(10)} ${who} ${what}`;
    this.#trace.push(line);
    this.#sum.update(`${line}\n`);
  }
}
