// The coordinator's decisions: who makes up the world, when a checkpoint is whole, when the run
// ends and how. It is not on the step path: workers step without it, and it only listens.

import { exitCodes } from '../../shared/exit-codes.js';
import type { WorkerMessage } from '../../shared/control/messages.js';
import { addPart, addSnapshot, completeCheckpoint } from './checkpoints.js';
import { admit } from './gathering.js';
import { finishSalvage, onDeadline, onHaltedWhileAborting, startAbort } from './salvage.js';
import type { CoordinatorEffect, CoordinatorEvent, CoordinatorState } from './state.js';

/** A decision: the next state, and what the edge has to do, in this order. */
export interface Decision {
  readonly state: CoordinatorState;
  readonly effects: readonly CoordinatorEffect[];
}

/** What the coordinator does about an event. Pure: same arguments, same decision. */
export function transition(
  state: CoordinatorState,
  event: CoordinatorEvent,
  nowMs: number,
): Decision {
  if (state.stage.kind === 'ended') return unchanged(state);
  switch (event.kind) {
    case 'message':
      return onMessage(heard(state, event.worker, nowMs), event.worker, event.message, nowMs);
    case 'closed':
      return onClosed(state, event.worker, event.reason, nowMs);
    case 'manifestStored':
      return onManifestStored(state, event.step);
    case 'manifestFailed':
      return onManifestFailed(state, event.step, event.reason);
    case 'stopAsked':
      return onStopAsked(state, event.reason);
    case 'tick':
      return onTick(state, nowMs);
  }
}

function unchanged(state: CoordinatorState): Decision {
  return { state, effects: [] };
}

function heard(state: CoordinatorState, worker: string, nowMs: number): CoordinatorState {
  return updateWorker(state, worker, { heardMs: nowMs });
}

function updateWorker(
  state: CoordinatorState,
  worker: string,
  change: { heardMs?: number; step?: number; isPrepared?: boolean; isHalted?: boolean },
): CoordinatorState {
  const view = state.workers.get(worker);
  if (view === undefined) return state;
  const step = Math.max(view.step, change.step ?? 0);
  const workers = new Map(state.workers).set(worker, { ...view, ...change, step });
  return { ...state, workers };
}

function onMessage(
  state: CoordinatorState,
  worker: string,
  message: WorkerMessage,
  nowMs: number,
): Decision {
  // Who was refused, or taken out, has no say.
  if (message.kind !== 'hello' && !state.workers.has(worker)) return unchanged(state);
  switch (message.kind) {
    case 'hello':
      return admit(state, message, nowMs);
    case 'prepared':
      return onPrepared(updateWorker(state, worker, { isPrepared: true }));
    case 'progress':
    case 'stepReport':
      return unchanged(updateWorker(state, worker, { step: message.step }));
    case 'evaluation':
      return unchanged(state);
    case 'partStored':
      return completeCheckpoint(addPart(state, message), message.step);
    case 'snapshot':
      return completeCheckpoint(addSnapshot(state, message), message.step);
    case 'halted':
      return onHalted(updateWorker(state, worker, { step: message.step, isHalted: true }), nowMs);
    case 'suspicion':
      return onSuspicion(state, worker, message.worker, message.reason, nowMs);
    case 'failure':
      return onFailure(state, worker, message.reason, message.exitCode, nowMs);
  }
}

/** Workers connect together, so that nobody waits for a peer that still reads a checkpoint. */
function onPrepared(state: CoordinatorState): Decision {
  const { stage } = state;
  const isReady = [...state.workers.values()].every((view) => view.isPrepared);
  if (stage.kind !== 'running' || !isReady) return unchanged(state);
  const message = { kind: 'connect', generation: stage.world.generation } as const;
  const effects = stage.world.members.map(({ worker }): CoordinatorEffect => ({
    kind: 'send',
    worker,
    message,
  }));
  return { state, effects };
}

function onHalted(state: CoordinatorState, nowMs: number): Decision {
  if (state.stage.kind === 'aborting') return onHaltedWhileAborting(state, nowMs);
  return endIfDone(state);
}

/** A run ends well when every worker halted and their last step is in the store. */
function endIfDone(state: CoordinatorState): Decision {
  if (state.stage.kind === 'salvaging') return finishSalvage(state);
  const views = [...state.workers.values()];
  if (state.stage.kind !== 'running' || !views.every((view) => view.isHalted))
    return unchanged(state);
  const step = Math.max(...views.map((view) => view.step));
  if (state.savedStep !== step) return unchanged(state);
  const ending =
    step >= state.config.lastStep
      ? { exitCode: exitCodes.ok, reason: `finished at step ${step}` }
      : { exitCode: exitCodes.stopped, reason: `stopped at step ${step}, which is checkpointed` };
  return {
    state: { ...state, stage: { kind: 'ended', ending } },
    effects: [{ kind: 'end', ending }],
  };
}

function onSuspicion(
  state: CoordinatorState,
  witness: string,
  suspect: string,
  reason: string,
  nowMs: number,
): Decision {
  // Workers that give up a step take their connections down: only a running world is believed.
  if (state.stage.kind !== 'running' || !state.workers.has(suspect)) return unchanged(state);
  const text = `${suspect} can't be reached by ${witness}: ${reason}`;
  return startAbort(state, suspect, text, nowMs);
}

function onFailure(
  state: CoordinatorState,
  worker: string,
  reason: string,
  exitCode: number,
  nowMs: number,
): Decision {
  const code = exitCode === exitCodes.configuration ? exitCodes.configuration : exitCodes.failed;
  return startAbort(state, worker, `${worker} failed: ${reason}`, nowMs, code);
}

function onClosed(
  state: CoordinatorState,
  worker: string,
  reason: string,
  nowMs: number,
): Decision {
  if (!state.workers.has(worker)) return unchanged(state);
  if (state.stage.kind === 'gathering') {
    const workers = new Map(state.workers);
    workers.delete(worker);
    return {
      state: { ...state, workers },
      effects: [{ kind: 'notice', text: `${worker} left before the world was formed: ${reason}` }],
    };
  }
  return startAbort(state, worker, `${worker} was lost: ${reason}`, nowMs);
}

function onManifestStored(state: CoordinatorState, step: number): Decision {
  const pending = new Map(state.pending);
  pending.delete(step);
  const savedStep = Math.max(step, state.savedStep ?? 0);
  return endIfDone({ ...state, pending, savedStep });
}

function onManifestFailed(state: CoordinatorState, step: number, reason: string): Decision {
  const ending = {
    exitCode: exitCodes.failed,
    reason: `the checkpoint of step ${step} could not be committed: ${reason}`,
  };
  return {
    state: { ...state, stage: { kind: 'ended', ending } },
    effects: [{ kind: 'end', ending }],
  };
}

function onStopAsked(state: CoordinatorState, reason: string): Decision {
  if (state.stopping) return unchanged(state);
  const next = { ...state, stopping: true };
  if (state.stage.kind === 'running') {
    const effects = [...state.workers.keys()].sort().map((worker): CoordinatorEffect => {
      return { kind: 'send', worker, message: { kind: 'requestStop', reason } };
    });
    return { state: next, effects: [{ kind: 'notice', text: `stopping: ${reason}` }, ...effects] };
  }
  if (state.stage.kind !== 'gathering') return unchanged(next);
  const ending = {
    exitCode: exitCodes.stopped,
    reason: `stopped before the first step: ${reason}`,
  };
  return {
    state: { ...next, stage: { kind: 'ended', ending } },
    effects: [{ kind: 'end', ending }],
  };
}

function onTick(state: CoordinatorState, nowMs: number): Decision {
  const silent = [...state.workers]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .find(([, view]) => nowMs - view.heardMs > state.config.heartbeatTimeoutMs);
  if (silent !== undefined && state.stage.kind !== 'gathering') {
    const seconds = ((nowMs - silent[1].heardMs) / 1000).toFixed(1);
    return startAbort(state, silent[0], `${silent[0]} was lost: silent for ${seconds} s`, nowMs);
  }
  return onDeadline(state, nowMs);
}
