// The moves from one stage of a run to another that several decisions lead to.

import { exitCodes } from '../../shared/exit-codes.js';
import type {
  CoordinatorEffect,
  CoordinatorState,
  Ending,
  FormedWorld,
  WorkerView,
} from './state.js';

/** Ends the training of a world: by a vote after a step, or at once. */
export function halt(
  state: CoordinatorState,
  world: FormedWorld,
  mode: 'vote' | 'abort',
  reason: string,
  nowMs: number,
  lost: readonly string[] = [],
): void {
  state.stage = { kind: 'halting', world, mode, reason, sinceMs: nowMs, lost };
}

/** Waits for workers, without a world. */
export function gather(
  state: CoordinatorState,
  nowMs: number,
  reason: string,
): CoordinatorEffect[] {
  state.coldStep = undefined;
  const patienceMs = state.config.timing.regatherMs;
  state.stage = { kind: 'gathering', sinceMs: nowMs, patienceMs, reason, isSearching: false };
  return [{ kind: 'notice', text: `there is no world any more: ${reason}` }];
}

/** Ends the run. */
export function end(state: CoordinatorState, ending: Ending): CoordinatorEffect[] {
  const told = resumable(state, ending);
  state.stage = { kind: 'ended', ending: told };
  return [{ kind: 'end', ending: told }];
}

/** Says from where a run that ends early can be resumed. */
function resumable({ savedStep }: CoordinatorState, ending: Ending): Ending {
  const { exitCode, reason } = ending;
  if (exitCode === exitCodes.ok || exitCode === exitCodes.stopped) return ending;
  if (savedStep === undefined) return { exitCode, reason: `${reason}; nothing was checkpointed` };
  return { exitCode, reason: `${reason}; the run can be resumed from step ${savedStep}` };
}

/** Whether the worker is to leave: it was asked to, or there are more than wanted. */
export function isLeaving({ status, isDismissed }: WorkerView): boolean {
  return status.isLeaving || isDismissed;
}

/** Whether the worker does nothing that a new world would have to interrupt. */
export function isFree({ status }: WorkerView): boolean {
  return ['ready', 'halted', 'finished'].includes(status.stage);
}
