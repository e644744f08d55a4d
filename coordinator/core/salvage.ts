// Ending a run that lost a worker without losing a step: the survivors give up the step in
// progress, and those that have committed most store that state.
// A worker can finish step s only if all contributed to s, so survivors are at s or s + 1.

import { exitCodes, type ExitCode } from '../../shared/exit-codes.js';
import type { CoordinatorEffect, CoordinatorState, Ending } from './state.js';
import type { Decision } from './transition.js';

/** Takes a lost worker out and tells the others to give up the step in progress. */
export function startAbort(
  state: CoordinatorState,
  lost: string,
  reason: string,
  nowMs: number,
  exitCode: ExitCode = exitCodes.workerLost,
): Decision {
  const workers = new Map(state.workers);
  workers.delete(lost);
  const next = { ...state, workers };
  if (state.stage.kind === 'aborting') return onHaltedWhileAborting(next, nowMs);
  if (state.stage.kind === 'salvaging') {
    const isSaver = state.workers.get(lost)?.step === state.stage.step;
    // A saver is gone as well: those that are left store what they have.
    return isSaver ? salvage(next, state.stage.ending, nowMs) : { state: next, effects: [] };
  }
  const ending = { exitCode, reason };
  const effects: CoordinatorEffect[] = [{ kind: 'notice', text: reason }];
  if (state.stage.kind === 'gathering') return end(next, ending, effects);
  if (workers.size === 0) return end(next, resumable(ending, state.savedStep), effects);
  const deadlineMs = nowMs + state.config.salvageTimeoutMs;
  for (const worker of [...workers.keys()].sort())
    effects.push({ kind: 'send', worker, message: { kind: 'abort', reason } });
  const aborting = { ...next, stage: { kind: 'aborting', ending, deadlineMs } } as const;
  return followedBy(effects, onHaltedWhileAborting(aborting, nowMs));
}

/** Once all survivors halted, those at the highest step store it, unless it is stored. */
export function onHaltedWhileAborting(state: CoordinatorState, nowMs: number): Decision {
  if (state.stage.kind !== 'aborting') return { state, effects: [] };
  const survivors = [...state.workers.values()];
  if (!survivors.every((view) => view.isHalted)) return { state, effects: [] };
  return salvage(state, state.stage.ending, nowMs);
}

function salvage(state: CoordinatorState, ending: Ending, nowMs: number): Decision {
  const halted = [...state.workers].filter(([, view]) => view.isHalted);
  if (halted.length === 0) return end(state, resumable(ending, state.savedStep), []);
  const step = Math.max(...halted.map(([, view]) => view.step));
  if (state.savedStep === step) return end(state, resumable(ending, step), []);
  const savers = halted.filter(([, view]) => view.step === step).map(([worker]) => worker);
  const effects = savers.sort().map((worker, share): CoordinatorEffect => {
    return { kind: 'send', worker, message: { kind: 'save', step, share, shares: savers.length } };
  });
  const deadlineMs = nowMs + state.config.salvageTimeoutMs;
  return { state: { ...state, stage: { kind: 'salvaging', ending, step, deadlineMs } }, effects };
}

/** Ends the run when the survivors' step is in the store. */
export function finishSalvage(state: CoordinatorState): Decision {
  if (state.stage.kind !== 'salvaging' || state.savedStep !== state.stage.step)
    return { state, effects: [] };
  return end(state, resumable(state.stage.ending, state.stage.step), []);
}

/** What to do when a stage has taken too long. */
export function onDeadline(state: CoordinatorState, nowMs: number): Decision {
  const { stage } = state;
  if (stage.kind === 'running' || stage.kind === 'ended' || nowMs < stage.deadlineMs)
    return { state, effects: [] };
  if (stage.kind === 'aborting') return salvage(state, stage.ending, nowMs);
  if (stage.kind === 'salvaging') return end(state, resumable(stage.ending, state.savedStep), []);
  const { worldSize, joinTimeoutMs } = state.config;
  const reason =
    `only ${state.workers.size} of ${worldSize} workers joined within ` +
    `${Math.round(joinTimeoutMs / 1000)} s`;
  return end(state, { exitCode: exitCodes.failed, reason }, []);
}

function resumable(ending: Ending, step: number | undefined): Ending {
  if (step === undefined)
    return { ...ending, reason: `${ending.reason}; nothing was checkpointed` };
  return { ...ending, reason: `${ending.reason}; the run can be resumed from step ${step}` };
}

function end(state: CoordinatorState, ending: Ending, before: CoordinatorEffect[]): Decision {
  return {
    state: { ...state, stage: { kind: 'ended', ending } },
    effects: [...before, { kind: 'end', ending }],
  };
}

function followedBy(effects: readonly CoordinatorEffect[], decision: Decision): Decision {
  return { state: decision.state, effects: [...effects, ...decision.effects] };
}
