// What came of a fault: when the run noticed it, and when it committed steps again, told from one
// look after the other. Pure; times are those of the looks.

import type { RunStatus } from '../../shared/control/admin.js';
import { coordinatorFaults, type FaultKind } from './faults.js';
import type { Sample } from './observation.js';
import type { PlannedFault } from './schedule.js';

/**
 * `open`: not known yet. `recovered`: noticed, and the run goes on. `unnoticed`: over before
 * anybody noticed. `lost`: nothing was seen of it for so long that nothing will be.
 */
export type Outcome = 'open' | 'recovered' | 'unnoticed' | 'lost';

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

/** Not of one worker alone: any change of the world tells of it. */
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
  const told = status.stage === 'running' ? status.worldReason : status.reason;
  const reason = isOfCoordinator ? '' : followed.reason || told;
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
