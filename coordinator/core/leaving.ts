// A coordinator that leaves its run to another one: because that one leads already, because the
// lease is lost, or because its own process has to go while the workers train on.

import { exitCodes, type ExitCode } from '../../shared/exit-codes.js';
import type { CoordinatorEffect, CoordinatorState } from './state.js';

/** Why a coordinator of a later term makes this one step down. */
export function supersededBy({ config }: CoordinatorState, term: number): string {
  return `a coordinator of term ${term} leads the run; this one had ${config.term}`;
}

/** Leaves the run as it is: whoever leads it next learns all from the workers. */
export function stepDown(
  state: CoordinatorState,
  reason: string,
  exitCode: ExitCode = exitCodes.superseded,
): CoordinatorEffect[] {
  state.stage = { kind: 'ended', ending: { exitCode, reason } };
  return [{ kind: 'stepDown', exitCode, reason }];
}

/** Takes down that this coordinator has to leave. */
export function noteLeave(
  state: CoordinatorState,
  reason: string,
  nowMs: number,
): CoordinatorEffect[] | undefined {
  if (state.leaving !== undefined) return undefined;
  state.leaving = { reason, sinceMs: nowMs };
  return [{ kind: 'notice', text: `leaving: ${reason}` }];
}

/** Leaves the run to the next coordinator; but where all have to leave, it is stopped in order. */
export function leaveWhenDue(state: CoordinatorState, nowMs: number): CoordinatorEffect[] {
  const { leaving, stage, stopReason, ending, config } = state;
  const isEnding = stage.kind === 'ended' || stopReason !== undefined || ending !== undefined;
  if (leaving === undefined || isEnding) return [];
  // The run is about to end: whoever took over could only do the same.
  if (stage.kind === 'finishing' && stage.ending !== undefined) return [];
  const present = [...state.workers.values()].filter(({ session }) => session !== undefined);
  if (present.length > 0 && present.every(({ status }) => status.isLeaving)) {
    state.stopReason = leaving.reason;
    return [{ kind: 'notice', text: 'stopping: all workers leave as well' }];
  }
  if (nowMs - leaving.sinceMs < config.timing.leaveMs) return [];
  const reason = `it was asked to leave (${leaving.reason}), and the run goes on without it`;
  return stepDown(state, reason, exitCodes.drained);
}
