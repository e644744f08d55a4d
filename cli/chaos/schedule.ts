// Which fault strikes which victim, and when: a pure function of the seed and of what is seen of
// the run. It knows no clock and no processes; times are arguments.

import type { RunStatus } from '../../shared/control/admin.js';
import { hashIntegers } from '../../shared/random.js';
import {
  coordinatorFaults,
  obeyedFaults,
  signalFaults,
  type FaultKind,
  type PlannedFault,
  type WeightedFault,
} from './faults.js';
import { isWhole } from './recovery.js';

/** What does not change while faults are injected. */
export interface SchedulePlan {
  readonly seed: number;
  /** Between two faults on average; each pause is between a half and one and a half of it. */
  readonly everyMs: number;
  readonly faults: readonly WeightedFault[];
  /** Workers that the run had at first, and is brought back to. */
  readonly home: number;
  /** Most workers that a run can have. */
  readonly microShards: number;
}

/** A worker as far as it matters for choosing a victim. */
interface SeenWorker {
  readonly worker: string;
  readonly isMember: boolean;
  readonly isLeaving: boolean;
  readonly allowsFaults: boolean;
  /** Its process is on this machine. */
  readonly isHere: boolean;
}

/** The run as it is seen when a fault could be due. */
export interface Seen {
  /** Workers that the coordinator hears, each once, in any order. */
  readonly workers: readonly SeenWorker[];
  /** Workers that the run is to have. */
  readonly target: number;
  /** All workers that it is to have train, and no fault has consequences still. */
  readonly isCalm: boolean;
  /** A bit was flipped that nobody has found yet. */
  readonly isFlipped: boolean;
  /** Steps until the run halts. */
  readonly stepsLeft: number;
  readonly isCoordinatorHere: boolean;
}

/** What the schedule sees of a run; `around` is what a status does not say. */
export function seenOf(
  status: RunStatus,
  around: Pick<Seen, 'isCoordinatorHere' | 'isFlipped'> & {
    /** This machine. */
    readonly host: string;
    readonly hasOpenFaults: boolean;
  },
): Seen {
  const { host, hasOpenFaults, ...known } = around;
  const workers = status.workers
    .filter(({ isConnected }) => isConnected)
    .map((one): SeenWorker => {
      const { worker, rank, stage, allowsFaults } = one;
      const isLeaving = stage.includes('leaving');
      return { worker, isMember: rank >= 0, isLeaving, allowsFaults, isHere: one.host === host };
    });
  return {
    workers,
    target: status.target,
    isCalm: isWhole(status) && !hasOpenFaults,
    stepsLeft: Math.max(0, status.until - status.step),
    ...known,
  };
}

export interface ScheduleState {
  /** Faults planned so far. */
  readonly count: number;
  /** The next one is due then. */
  readonly dueMs: number;
  readonly lastKillMs: number;
  /** Workers of which a bit was flipped: a second time would cost them their place in the run. */
  readonly flipped: readonly string[];
  /** When the run is to have its workers back; undefined when none were taken. */
  readonly restoreMs: number | undefined;
}

export interface Decision {
  readonly state: ScheduleState;
  readonly fault?: PlannedFault;
  /** The run is to have so many workers again; no fault. */
  readonly restore?: number;
}

/** After a process was killed none is killed for so long: it takes about that to start another. */
export const killPauseMs = 3_000;

/**
 * A bit flips only so long before the end: workers compare their states every few steps, and a
 * state of the last ones is compared with nothing.
 */
export const flipSteps = 100;

/** The pace of the run is measured for so long, before the first fault. */
export const calmMs = 4_000;

/** The schedule before its first fault. */
export function startSchedule(plan: SchedulePlan, nowMs: number): ScheduleState {
  const dueMs = nowMs + Math.max(calmMs, pauseMs(plan, 0));
  return { count: 0, dueMs, lastKillMs: -Infinity, flipped: [], restoreMs: undefined };
}

/** What is to be done now, if anything. Same arguments, same decision. */
export function decide(
  plan: SchedulePlan,
  state: ScheduleState,
  seen: Seen,
  nowMs: number,
): Decision {
  // Another world before it is found could make the wrong state the one that others take.
  if (seen.isFlipped) return { state };
  const isShort = seen.target !== plan.home || seen.workers.length < plan.home;
  if (state.restoreMs !== undefined && nowMs >= state.restoreMs) {
    const restoreMs = isShort ? nowMs + plan.everyMs : undefined;
    const next = { ...state, restoreMs };
    return isShort ? { state: next, restore: plan.home } : { state: next };
  }
  if (nowMs < state.dueMs) return { state };
  const fault = choose(plan, state, seen, nowMs);
  if (fault === undefined) return { state };
  const count = state.count + 1;
  const takesWorkers = fault.kind === 'drain' || fault.kind === 'scale';
  return {
    fault,
    state: {
      count,
      dueMs: nowMs + pauseMs(plan, count),
      lastKillMs: isKill(fault.kind) ? nowMs : state.lastKillMs,
      flipped: fault.kind === 'flip' ? [...state.flipped, fault.victim] : state.flipped,
      restoreMs: takesWorkers ? nowMs + 1.5 * plan.everyMs : state.restoreMs,
    },
  };
}

function isKill(kind: FaultKind): boolean {
  return kind === 'kill' || kind === 'coordinator';
}

/** From 0 up to 1; each draw for one fault has another `salt`. */
function draw({ seed }: SchedulePlan, count: number, salt: number): number {
  return hashIntegers(seed, count, salt) / 2 ** 32;
}

function pauseMs(plan: SchedulePlan, count: number): number {
  return plan.everyMs * (0.5 + draw(plan, count, 1));
}

function choose(
  plan: SchedulePlan,
  { count, lastKillMs, flipped }: ScheduleState,
  seen: Seen,
  nowMs: number,
): PlannedFault | undefined {
  const mayKill = nowMs - lastKillMs >= killPauseMs;
  const possible = plan.faults.filter(
    ({ kind }) => (mayKill || !isKill(kind)) && isPossible(plan, kind, seen, flipped),
  );
  const total = possible.reduce((sum, { weight }) => sum + weight, 0);
  let left = draw(plan, count, 2) * total;
  const chosen = possible.find(({ weight }) => (left -= weight) < 0) ?? possible.at(-1);
  return chosen === undefined ? undefined : planFault(plan, count, chosen.kind, seen, flipped);
}

function isPossible(
  plan: SchedulePlan,
  kind: FaultKind,
  seen: Seen,
  flipped: readonly string[],
): boolean {
  if (coordinatorFaults.has(kind)) return seen.isCoordinatorHere;
  if (kind === 'scale') return plan.microShards > 1;
  const present = seen.workers.length;
  if (kind === 'flip' && !(seen.isCalm && seen.stepsLeft > flipSteps)) return false;
  if (['drain', 'mute', 'flip'].includes(kind) && present < 2) return false;
  return victimsOf(kind, seen, flipped).length > (kind === 'mute' ? 1 : 0);
}

/** Those that the fault can strike, in the order of their names. */
function victimsOf(kind: FaultKind, seen: Seen, flipped: readonly string[]): string[] {
  const staying = seen.workers.filter(({ isLeaving }) => !isLeaving);
  const isLast = staying.length < 2;
  return staying
    .filter(({ isHere }) => isHere || !signalFaults.has(kind))
    .filter(({ allowsFaults }) => allowsFaults || !obeyedFaults.has(kind))
    .filter(({ isMember }) => isMember || !['mute', 'flip', 'half-open'].includes(kind))
    .filter(() => !(isLast && kind === 'drain'))
    .map(({ worker }) => worker)
    .filter((worker) => kind !== 'flip' || !flipped.includes(worker))
    .sort();
}

function planFault(
  plan: SchedulePlan,
  count: number,
  kind: FaultKind,
  seen: Seen,
  flipped: readonly string[],
): PlannedFault {
  const pick = <T>(from: readonly T[], salt: number): T | undefined =>
    from[Math.floor(draw(plan, count, salt) * from.length)];
  const isTimed = ['freeze', 'mute', 'half-open', 'coordinator-freeze'].includes(kind);
  // Some are over before anybody notices, most are not.
  const seconds = isTimed ? Math.round(10 * (0.5 + 4.5 * draw(plan, count, 3))) / 10 : 0;
  const none = { kind, peer: '', seconds, workers: 0 };
  if (coordinatorFaults.has(kind)) return { ...none, victim: 'coordinator' };
  if (kind === 'scale') return { ...none, victim: 'run', workers: otherSize(plan, count, seen) };
  const victims = victimsOf(kind, seen, flipped);
  const victim = pick(victims, 4) ?? '';
  const peers = victims.filter((worker) => worker !== victim);
  return { ...none, victim, peer: kind === 'mute' ? (pick(peers, 5) ?? '') : '' };
}

/** From 1 to the most there can be, but not as many as there are to be now. */
function otherSize(plan: SchedulePlan, count: number, { target }: Seen): number {
  const size = 1 + Math.floor(draw(plan, count, 6) * (plan.microShards - 1));
  return size >= target ? Math.min(plan.microShards, size + 1) : size;
}
