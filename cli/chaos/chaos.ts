// `lockstep chaos`: looks at a run again and again, injects what the schedule says, and follows
// what comes of it, until the run ends or enough was done. It leaves the run as it was.

import { setTimeout as wait } from 'node:timers/promises';
import type { AdminClient, RunStatus } from '../../shared/control/admin.js';
import { manifestKey } from '../../shared/checkpoint/manifest.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { RunWatch } from './attach.js';
import { createInjector, isLockstep, type PlannedFault } from './faults.js';
import {
  costOf,
  follow,
  isWhole,
  judgeEnd,
  noProgress,
  observeProgress,
  startFollowing,
  strikeProgress,
  type Cost,
  type Followed,
  type RunProgress,
  type RunVerdict,
  type Sample,
} from './recovery.js';
import {
  decide,
  seenOf,
  startSchedule,
  type SchedulePlan,
  type ScheduleState,
} from './schedule.js';

/** Between two looks. */
const lookMs = 50;

/** How often the store is asked whether a run that nobody leads has finished. */
const askStoreMs = 1_000;

/** How long a run may take at the end to be as it was. */
const closingMs = 90_000;

export interface ChaosOptions {
  /** The run's folder. */
  readonly store: ObjectStore;
  readonly watch: RunWatch;
  /** This machine. */
  readonly host: string;
  readonly plan: SchedulePlan;
  /** As many faults, or so long; without either, until the run ends. */
  readonly count: number | undefined;
  readonly durationMs: number | undefined;
  readonly stop: AbortSignal;
  /** A fault was injected, or could not be. */
  readonly onInjected: (fault: PlannedFault, atS: number, refusal: string | undefined) => void;
  /** No more will be known of a fault. */
  readonly onSettled: (followed: Followed, atS: number) => void;
}

export interface ChaosResult {
  readonly verdict: RunVerdict;
  readonly followed: readonly Followed[];
  readonly cost: Cost;
}

/** Injects faults into the run; what it started or stopped goes on when this resolves. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const session = new ChaosSession(options);
  try {
    return await session.run();
  } finally {
    session.close();
  }
}

class ChaosSession {
  readonly #options: ChaosOptions;
  readonly #injector = createInjector();
  readonly #startMs = performance.now();
  readonly #pids = new Set<number>();
  #schedule: ScheduleState;
  #progress: RunProgress = noProgress;
  #followed: readonly Followed[] = [];
  #known: Sample;
  #askedMs = 0;
  #isFinished = false;
  #closingSinceMs: number | undefined;

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#schedule = startSchedule(options.plan, this.#startMs);
    this.#known = { atMs: this.#startMs };
  }

  async run(): Promise<ChaosResult> {
    for (;;) {
      const sample = await this.#look();
      const verdict = this.#judge(sample);
      if (verdict !== undefined) return this.#result(verdict);
      this.#closeWhenDue(sample.atMs);
      if (sample.status !== undefined) await this.#act(sample.status, sample.atMs);
      await wait(lookMs);
    }
  }

  close(): void {
    this.#injector.thaw();
  }

  async #look(): Promise<Sample> {
    const status = await this.#options.watch.look();
    const sample: Sample = { atMs: performance.now(), status };
    this.#progress = observeProgress(this.#progress, sample);
    if (status !== undefined) this.#note(status, sample);
    else await this.#askStore(sample.atMs);
    this.#followed = this.#followed.map((before) => {
      const after = follow(before, sample);
      if (before.outcome === 'open' && after.outcome !== 'open') this.#settle(after);
      return after;
    });
    return sample;
  }

  #note(status: RunStatus, sample: Sample): void {
    this.#known = sample;
    this.#pids.clear();
    for (const { pid } of status.workers) this.#pids.add(pid);
    this.#pids.add(status.coordinatorPid);
  }

  /** The end can be missed: then its checkpoint shows it. */
  async #askStore(atMs: number): Promise<void> {
    const lastStep = this.#known.status?.lastStep;
    if (lastStep === undefined || atMs - this.#askedMs < askStoreMs) return;
    this.#askedMs = atMs;
    const manifest = this.#options.store.head(manifestKey(lastStep));
    this.#isFinished = (await manifest.catch(() => undefined)) !== undefined;
  }

  #judge(sample: Sample): RunVerdict | undefined {
    const ended = judgeEnd(sample, {
      known: this.#known,
      progressMs: this.#progress.last?.atMs ?? this.#startMs,
      isFinished: this.#isFinished,
      isAlive: [...this.#pids].some(isLockstep),
    });
    if (ended !== undefined || this.#closingSinceMs === undefined) return ended;
    const isOverdue = sample.atMs - this.#closingSinceMs > closingMs;
    const isHealed = sample.status !== undefined && isWhole(sample.status) && !this.#hasOpen();
    const isHome = sample.status?.target === this.#options.plan.home;
    if (!isOverdue && (!isHealed || !isHome || this.#injector.isFreezing)) return undefined;
    return { kind: 'goes on', reason: `at step ${this.#progress.last?.step ?? 0}` };
  }

  #hasOpen(kind?: PlannedFault['kind']): boolean {
    return this.#followed.some(
      ({ outcome, fault }) => outcome === 'open' && (kind === undefined || fault.kind === kind),
    );
  }

  #closeWhenDue(nowMs: number): void {
    const { stop, count, durationMs } = this.#options;
    const isDone =
      stop.aborted ||
      (count !== undefined && this.#followed.length >= count) ||
      (durationMs !== undefined && nowMs - this.#startMs >= durationMs);
    if (!isDone || this.#closingSinceMs !== undefined) return;
    this.#closingSinceMs = nowMs;
    const { restoreMs } = this.#schedule;
    if (restoreMs !== undefined) this.#schedule = { ...this.#schedule, restoreMs: nowMs };
    if (stop.aborted) this.#injector.thaw();
  }

  async #act(status: RunStatus, nowMs: number): Promise<void> {
    const { plan, host, watch } = this.#options;
    const { leader } = watch;
    if (leader === undefined) return;
    const seen = seenOf(status, {
      host,
      isCoordinatorHere: leader.term.host === host,
      hasOpenFaults: this.#hasOpen(),
      isFlipped: this.#hasOpen('flip'),
    });
    const isClosing = this.#closingSinceMs !== undefined;
    const faults = isClosing ? [] : plan.faults;
    const { state, fault, restore } = decide({ ...plan, faults }, this.#schedule, seen, nowMs);
    this.#schedule = state;
    // Asked again if it is not heard.
    if (restore !== undefined) await leader.client.scale(restore).catch(() => undefined);
    if (fault !== undefined) await this.#inject(fault, status, leader.client);
  }

  async #inject(fault: PlannedFault, status: RunStatus, client: AdminClient): Promise<void> {
    const atMs = performance.now();
    this.#progress = strikeProgress(this.#progress, atMs);
    const refusal = await this.#injector.inject(fault, status, client);
    this.#options.onInjected(fault, this.#seconds(atMs), refusal);
    if (refusal === undefined)
      this.#followed = [...this.#followed, startFollowing(fault, status, atMs)];
  }

  #settle(followed: Followed): void {
    this.#options.onSettled(followed, this.#seconds(followed.atMs));
  }

  #seconds(atMs: number): number {
    return (atMs - this.#startMs) / 1000;
  }

  #result(verdict: RunVerdict): ChaosResult {
    for (const followed of this.#followed) if (followed.outcome === 'open') this.#settle(followed);
    const endMs = verdict.kind === 'ended' ? this.#progress.last?.atMs : performance.now();
    const cost = costOf(this.#progress, endMs ?? performance.now());
    return { verdict, followed: this.#followed, cost };
  }
}
