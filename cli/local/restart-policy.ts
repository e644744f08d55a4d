// What the supervisor of a local run does when a process has left: start it again, and when,
// or let it go. Pure: how it left and what is known of it are arguments.

import { exitCodes } from '../../shared/exit-codes.js';
import type { Departure } from '../processes.js';

/** The life of a process that has left. */
export interface Life {
  readonly ageMs: number;
  /** Deaths just before this one, each soon after its start. */
  readonly quickDeaths: number;
  /** How many more processes of this run may be started again. */
  readonly restartsLeft: number;
}

/** What is known when a coordinator has left. */
export interface CoordinatorLife extends Life {
  /** It led the run; else it stood by, or had not come that far. */
  readonly isLeading: boolean;
  /** The run was opened, by this coordinator or an earlier one. */
  readonly isOpened: boolean;
  /** A coordinator has reported the result. */
  readonly hasResult: boolean;
  readonly isStopAsked: boolean;
  /** Two coordinators share the run. */
  readonly isPaired: boolean;
}

export type RestartVerdict =
  | {
      readonly kind: 'restart';
      readonly delayMs: number;
      readonly quickDeaths: number;
      /** It was not this process's fault: it is none of those that may be started again. */
      readonly isFree?: boolean;
    }
  /** It is not needed any more. */
  | { readonly kind: 'left' }
  /** It would be, but too many were started again. */
  | { readonly kind: 'givenUp' }
  /** Coordinators only: with it, the run has ended here. */
  | { readonly kind: 'over' };

/** A death so soon after the start is likely to come again: the next start waits longer. */
const quickMs = 10_000;
const firstDelayMs = 500;
const longestDelayMs = 10_000;
/** A worker that the run does not take asks again, less and less often. */
const longestRefusedMs = 300_000;

/** With these a process reports that starting it again is useless or not wanted. */
const finalCodes: ReadonlySet<number> = new Set([
  exitCodes.ok,
  exitCodes.stopped,
  exitCodes.interrupted,
  exitCodes.workerLost,
  exitCodes.drained,
  exitCodes.configuration,
]);

/** The verdict on a worker that has left. */
export function afterWorker({ code }: Departure, life: Life): RestartVerdict {
  if (code !== null && finalCodes.has(code)) return { kind: 'left' };
  // Another process has its place; when that one is gone, it is needed again.
  if (code === exitCodes.refused)
    return {
      ...{ kind: 'restart', quickDeaths: life.quickDeaths + 1, isFree: true },
      delayMs: Math.min(longestRefusedMs, longestDelayMs * 2 ** life.quickDeaths),
    };
  return restart(life);
}

/** The verdict on a coordinator that has left. */
export function afterCoordinator(
  { code, signal }: Departure,
  life: CoordinatorLife,
): RestartVerdict {
  if (life.hasResult || !life.isOpened) return { kind: 'over' };
  // It had not come to listening to signals yet.
  if (life.isStopAsked && signal === 'SIGTERM') return { kind: 'over' };
  if (code === exitCodes.superseded && !life.isPaired) return { kind: 'over' };
  if (code !== null && finalCodes.has(code)) return { kind: life.isLeading ? 'over' : 'left' };
  return restart(life);
}

function restart({ ageMs, quickDeaths, restartsLeft }: Life): RestartVerdict {
  if (restartsLeft <= 0) return { kind: 'givenUp' };
  const quick = ageMs < quickMs ? quickDeaths + 1 : 1;
  const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** (quick - 1));
  return { kind: 'restart', delayMs, quickDeaths: quick };
}
