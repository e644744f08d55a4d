// Without a world: workers are waited for. Who has a state decides where the next world starts;
// if nobody has, the newest whole checkpoint does.

import { exitCodes } from '../../shared/exit-codes.js';
import type { Step } from '../../shared/words.js';
import { findCandidates, formWorld, newestStepOf } from './forming.js';
import { isReachable } from './liveness.js';
import { end } from './stages.js';
import type { CoordinatorEffect, CoordinatorState, Ending, Stage, WorkerView } from './state.js';

/** Those that are loading the run are waited for so many times longer. */
const joiningFactor = 6;

type Gathering = Stage & { readonly kind: 'gathering' };

/** Forms a world when enough workers are there, or ends a run that nobody joins. */
export function awaitWorkers(
  state: CoordinatorState,
  stage: Gathering,
  nowMs: number,
): CoordinatorEffect[] {
  if (state.stopReason !== undefined) return stopUnformed(state, state.stopReason);
  if (state.ending !== undefined) return end(state, state.ending);
  const candidates = findCandidates(state, nowMs);
  const wanted = Math.min(state.target, state.config.microShards);
  const waitedMs = nowMs - stage.sinceMs;
  if (candidates.length === 0)
    return waitedMs <= longestWaitMs(state, nowMs) ? [] : end(state, nobodyCame(state));
  if (candidates.length < wanted && !isPatienceOver(state, stage, candidates, nowMs)) return [];
  const after = stage.reason === '' ? '' : `, after: ${stage.reason}`;
  const reason = `${candidates.length} of ${wanted} workers joined${after}`;
  const step = startOf(state, candidates);
  if (step !== undefined) return formWorld(state, candidates, step, reason, nowMs);
  if (stage.isSearching) return [];
  stage.isSearching = true;
  return [{ kind: 'findCheckpoint' }];
}

/** Of a run that is finished only those are waited for that are there: to tell them so. */
function longestWaitMs(state: CoordinatorState, nowMs: number): number {
  const { joinTimeoutMs, finishedMs } = state.config.timing;
  const isAnyoneHere = [...state.workers.values()].some((view) => isReachable(state, view, nowMs));
  return isFinished(state) && !isAnyoneHere ? Math.min(joinTimeoutMs, finishedMs) : joinTimeoutMs;
}

function isFinished({ savedStep, config }: CoordinatorState): boolean {
  return savedStep !== undefined && savedStep >= config.lastStep;
}

/** A new run waits for all; one that goes on does not wait long for those that may be gone. */
function isPatienceOver(
  state: CoordinatorState,
  { sinceMs, patienceMs }: Gathering,
  candidates: readonly WorkerView[],
  nowMs: number,
): boolean {
  const firstMs = Math.min(...candidates.map(({ readySinceMs }) => readySinceMs ?? nowMs));
  const areMoreComing = [...state.workers.values()].some(
    (view) => view.status.stage === 'joining' && isReachable(state, view, nowMs),
  );
  const factor = areMoreComing ? joiningFactor : 1;
  return nowMs - Math.max(sinceMs, firstMs) > factor * patienceMs;
}

/** The newest state that is left: a worker's, or a checkpoint's that is newer still. */
function startOf(state: CoordinatorState, candidates: readonly WorkerView[]): Step | undefined {
  const kept = newestStepOf(candidates);
  const isOutdated = kept !== undefined && kept < (state.savedStep ?? 0);
  return kept === undefined || isOutdated ? state.coldStep : kept;
}

function stopUnformed(state: CoordinatorState, reason: string): CoordinatorEffect[] {
  const { savedStep } = state;
  const where = savedStep === undefined ? 'before the first step' : `at step ${savedStep}`;
  const told = savedStep === undefined ? `: ${reason}` : ', which is checkpointed';
  return end(state, { exitCode: exitCodes.stopped, reason: `stopped ${where}${told}` });
}

/** The end of a run whose workers are all gone. */
export function nobodyCame(state: CoordinatorState): Ending {
  const { config, formed, savedStep } = state;
  if (isFinished(state)) return { exitCode: exitCodes.ok, reason: `finished at step ${savedStep}` };
  const seconds = Math.round(config.timing.joinTimeoutMs / 1000);
  if (formed === 0) {
    const reason = `no worker joined within ${seconds} s`;
    return { exitCode: exitCodes.failed, reason };
  }
  const reason = `all workers were lost, and none came back within ${seconds} s`;
  return { exitCode: exitCodes.workerLost, reason };
}
