// What comes of faults, from one look at the run after the other: when each was noticed, when steps
// were committed again, what all cost, and whether the run goes on. Pure; times are those of the
// looks.

import type { RunStatus } from '../../shared/control/admin.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { coordinatorFaults, type FaultKind, type PlannedFault } from './faults.js';

/** What was seen at `atMs`; without a status nobody who leads the run answered. */
export interface Sample {
  readonly atMs: number;
  readonly status?: RunStatus | undefined;
}

/** Whether all workers that the run is to have are in its world, and only they. */
export function isWhole({ stage, workers, target }: RunStatus): boolean {
  return stage === 'running' && workers.filter(({ rank }) => rank >= 0).length === target;
}

/**
 * `open`: not known yet. `recovered`: noticed, and the run goes on. `unnoticed`: over before
 * anybody noticed. `lost`: nothing was seen of it for so long that nothing will be.
 */
type Outcome = 'open' | 'recovered' | 'unnoticed' | 'lost';

/** A fault that was injected, and what is known of its consequences. */
export interface Followed {
  readonly fault: PlannedFault;
  readonly atMs: number;
  /** The run just before. */
  readonly before: RunStatus;
  readonly outcome: Outcome;
  readonly detectedMs: number | undefined;
  readonly recoveredMs: number | undefined;
  /** Why the world that came after it was formed. */
  readonly reason: string;
  /** From this step on, a further one shows that the run goes on. */
  readonly floor: number | undefined;
}

/** A fault that nobody has noticed so long after it was over passed by. */
const unnoticedMs = 4_000;

/** Longest time that a fault is followed. */
const longestMs = 120_000;

/** Follows a fault that strikes now. */
export function startFollowing(fault: PlannedFault, before: RunStatus, atMs: number): Followed {
  const unknown = { detectedMs: undefined, recoveredMs: undefined, floor: undefined };
  return { fault, atMs, before, outcome: 'open', reason: '', ...unknown };
}

/** Takes one more look into account. */
export function follow(followed: Followed, sample: Sample): Followed {
  if (followed.outcome !== 'open') return followed;
  if (sample.atMs - followed.atMs > longestMs) return { ...followed, outcome: 'lost' };
  const detected = detect(followed, sample);
  return detected.detectedMs === undefined
    ? awaitPassing(detected, sample)
    : awaitSteps(detected, sample);
}

function detect(followed: Followed, { atMs, status }: Sample): Followed {
  const { fault, before, detectedMs } = followed;
  if (detectedMs !== undefined) return followed;
  const isSeen = coordinatorFaults.has(fault.kind)
    ? status === undefined || status.term !== before.term
    : status !== undefined && hasNoticed(fault, status, before);
  return isSeen ? { ...followed, detectedMs: atMs - followed.atMs, floor: undefined } : followed;
}

/** The world halts or is another one, and it is because of this fault. */
function hasNoticed(
  { kind, victim, peer }: PlannedFault,
  now: RunStatus,
  before: RunStatus,
): boolean {
  const isNew = now.generation > before.generation;
  const isNews = isNew || now.stage !== before.stage;
  if (isWorldly(kind)) return isNews;
  // No world counted on it.
  if (!isMember(before, victim)) return false;
  const names = (text: string): boolean =>
    text.split(/[^\w.-]+/).some((word) => word !== '' && (word === victim || word === peer));
  if (now.stage === 'halting') return names(now.reason);
  return isNews && (names(isNew ? now.worldReason : '') || !isMember(now, victim));
}

/** Not of one worker alone: any change of the world comes from it. */
function isWorldly(kind: FaultKind): boolean {
  return kind === 'scale' || kind === 'flip';
}

function isMember({ workers }: RunStatus, name: string): boolean {
  return workers.some(({ worker, rank }) => worker === name && rank >= 0);
}

/** Noticed: the run goes on when a step is committed in a world that was formed since. */
function awaitSteps(followed: Followed, { atMs, status }: Sample): Followed {
  const { fault, before, floor } = followed;
  if (status === undefined) return followed;
  const isOfCoordinator = coordinatorFaults.has(fault.kind);
  const given = status.stage === 'running' ? status.worldReason : status.reason;
  const reason = isOfCoordinator ? '' : followed.reason || given;
  if (status.stage !== 'running') return { ...followed, reason };
  if (!isOfCoordinator && status.generation <= before.generation) return followed;
  if (floor === undefined || status.step <= floor)
    return { ...followed, reason, floor: status.step };
  return { ...followed, reason, outcome: 'recovered', recoveredMs: atMs - followed.atMs };
}

/** Not noticed: what is over soon, or struck a worker out of the world, may pass by. */
function awaitPassing(followed: Followed, { atMs, status }: Sample): Followed {
  const { fault, floor, before } = followed;
  const overMs = atMs - followed.atMs - 1000 * fault.seconds;
  const isOutside = !isWorldly(fault.kind) && !isMember(before, fault.victim);
  const mayPass = fault.seconds > 0 || (isOutside && !coordinatorFaults.has(fault.kind));
  if (!mayPass || status === undefined || overMs < 0) return followed;
  if (floor === undefined) return { ...followed, floor: status.step };
  if (overMs < unnoticedMs || status.step <= floor) return followed;
  return { ...followed, outcome: 'unnoticed' };
}

interface Mark {
  readonly atMs: number;
  readonly step: number;
}

/** What was seen of the steps. */
export interface RunProgress {
  /** The first and the last time that the step grew before the first fault. */
  readonly calm: readonly [Mark | undefined, Mark | undefined];
  /** The run when the first fault struck. */
  readonly struck: Mark | undefined;
  /** The last time that the step grew, or the first look. */
  readonly last: Mark | undefined;
}

/** Before anything was seen. */
export const noProgress: RunProgress = {
  calm: [undefined, undefined],
  struck: undefined,
  last: undefined,
};

/** Takes one more look into account. */
export function observeProgress(progress: RunProgress, { atMs, status }: Sample): RunProgress {
  if (status === undefined) return progress;
  const { calm, struck, last } = progress;
  const mark = { atMs, step: status.step };
  if (last === undefined) return { ...progress, last: mark };
  // Set back to a checkpoint, it has yet to get on.
  if (mark.step <= last.step)
    return mark.step < last.step ? { ...progress, last: { ...last, step: mark.step } } : progress;
  if (struck !== undefined) return { ...progress, last: mark };
  return { ...progress, last: mark, calm: [calm[0] ?? mark, mark] };
}

/** Notes that the first fault strikes; later ones change nothing. */
export function strikeProgress(progress: RunProgress, atMs: number): RunProgress {
  const { struck, last } = progress;
  if (struck !== undefined) return progress;
  return { ...progress, struck: { atMs, step: last?.step ?? 0 } };
}

/** The figures of a run under faults; undefined where too little was seen. */
export interface Cost {
  readonly steps: number;
  readonly seconds: number;
  readonly calmStepsPerS: number | undefined;
  /** Steps as a part of those that it would have taken undisturbed. */
  readonly goodput: number | undefined;
}

/** What the faults cost until `endMs`. */
export function costOf({ calm, struck, last }: RunProgress, endMs: number): Cost {
  const [first, second] = calm;
  const calmMs = (second?.atMs ?? 0) - (first?.atMs ?? 0);
  const calmSteps = (second?.step ?? 0) - (first?.step ?? 0);
  const calmStepsPerS = calmMs > 0 ? (1000 * calmSteps) / calmMs : undefined;
  if (struck === undefined || last === undefined)
    return { steps: 0, seconds: 0, calmStepsPerS, goodput: undefined };
  const [steps, seconds] = [last.step - struck.step, (endMs - struck.atMs) / 1000];
  const isKnown = calmStepsPerS !== undefined && seconds > 0;
  return {
    ...{ steps, seconds, calmStepsPerS },
    goodput: isKnown ? steps / (calmStepsPerS * seconds) : undefined,
  };
}

/** How a run ended, or that it goes on. */
export interface RunVerdict {
  readonly kind: 'goes on' | 'ended' | 'failed';
  readonly reason: string;
}

/** What is known beside the latest look. */
export interface EndEvidence {
  /** The last look that somebody answered. */
  readonly known: Sample;
  /** When the step grew last. */
  readonly progressMs: number;
  /** The checkpoint of the run's last step is there. */
  readonly isFinished: boolean;
  /** At least one of the run's processes is there. */
  readonly isAlive: boolean;
}

/** A run that commits nothing for so long has failed. */
export const stallMs = 60_000;

/** Without processes for so long, nobody starts them again. */
export const goneMs = 15_000;

/** How a run has ended, judged by the latest look; undefined while it goes on. */
export function judgeEnd(sample: Sample, evidence: EndEvidence): RunVerdict | undefined {
  const { known, progressMs, isFinished, isAlive } = evidence;
  const { status } = sample;
  if (status?.stage === 'ended' && status.exitCode !== exitCodes.superseded) {
    const { exitCode, reason } = status;
    const isWell = exitCode === exitCodes.ok || exitCode === exitCodes.stopped;
    return { kind: isWell ? 'ended' : 'failed', reason };
  }
  if (status === undefined && isFinished)
    return { kind: 'ended', reason: `finished at step ${known.status?.lastStep ?? 0}` };
  if (status === undefined && !isAlive && sample.atMs - known.atMs > goneMs)
    return { kind: 'failed', reason: 'its processes are gone, and none was started again' };
  const isBusy = status?.stage === 'finishing';
  if (!isBusy && sample.atMs - progressMs > stallMs)
    return { kind: 'failed', reason: `no step was committed for ${stallMs / 1000} s` };
  return undefined;
}
