// The moves that end something: a world, the run, or this coordinator's time. The last state is
// stored by all that have it, a share each. If one of them is lost, the others store it anew; if
// all are, the run goes on from its newest checkpoint once workers are there.

import type { FailureMessage } from '../../shared/control/messages.js';
import { exitCodes, type ExitCode } from '../../shared/exit-codes.js';
import { byName, type Step } from '../../shared/words.js';
import { isReachable } from './liveness.js';
import {
  hasSoundState,
  isFree,
  notice,
  workersOf,
  type CoordinatorEffect,
  type CoordinatorState,
  type Ending,
  type FormedWorld,
  type StageOf,
} from './state.js';

/** Ends the training of a world: by a vote after a step, or at once. */
export function halt(
  state: CoordinatorState,
  world: FormedWorld,
  mode: 'vote' | 'abort',
  reason: string,
  lost: readonly string[] = [],
): void {
  state.stage = { kind: 'halting', world, mode, reason, sinceMs: state.nowMs, lost };
}

/** Waits for workers, without a world. */
export function gather(state: CoordinatorState, reason: string): CoordinatorEffect[] {
  const { nowMs: sinceMs, config } = state;
  const patienceMs = config.timing.regatherMs;
  state.coldStep = undefined;
  state.stage = { kind: 'gathering', sinceMs, patienceMs, reason, isSearching: false };
  return [notice(`there is no world any more: ${reason}`)];
}

/**
 * Ends the run; of one that ends early, the reason says from where it can be resumed. One that was
 * stopped has a checkpoint, or it was interrupted.
 */
export function end(state: CoordinatorState, given: Ending): CoordinatorEffect[] {
  const { savedStep } = state;
  const isStopped = given.exitCode === exitCodes.stopped;
  const isEarly = given.exitCode !== exitCodes.ok && !(isStopped && savedStep !== undefined);
  const rest =
    savedStep === undefined
      ? 'nothing was checkpointed'
      : `the run can be resumed from step ${savedStep}`;
  const ending: Ending = {
    exitCode: isStopped && isEarly ? exitCodes.interrupted : given.exitCode,
    reason: isEarly ? `${given.reason}; ${rest}` : given.reason,
  };
  state.stage = { kind: 'ended', ending };
  return [{ kind: 'end', ending }];
}

/** So many failures at one place end the run, or the worker's part in it. */
export const maxFailures = 3;

/** Places that are kept in mind; beyond, the oldest is forgotten. */
const maxPlaces = 1000;

/**
 * Counts a worker's failure; how the run ends if it is the third at one place. A place is a step
 * that the run does not come beyond, whoever fails there: steps that are done again after a setback
 * are no progress. And a place is a worker that can't use its samples, however far the others come
 * meanwhile: those go on without it, if there are any.
 */
export function countFailure(
  state: CoordinatorState,
  worker: string,
  { reason, exitCode, sample }: FailureMessage,
): Ending | undefined {
  const text = `${worker} failed: ${reason}`;
  if (exitCode === exitCodes.configuration) return { exitCode, reason: text };
  const isOfData = sample !== '';
  const steps = countAt(state, `step:${state.furthestStep}`, isOfData);
  if (isOfData) countAt(state, `worker:${worker}`, true);
  const isStuck = steps.count >= maxFailures;
  const others = workersOf(state).filter((view) => view.worker !== worker);
  const canGoOn = others.some((view) => isReachable(state, view));
  if (!isStuck && (canGoOn || !hasOtherData(state, worker))) return undefined;
  const exit = isStuck && !steps.areOfData ? exitCodes.failed : exitCodes.configuration;
  const times = isStuck ? 'without a new step between them' : 'at samples, with no other worker';
  return { exitCode: exit, reason: `${text} (failure ${maxFailures} ${times})` };
}

/** The worker has failed so often at samples, which others must have read, that it stays out. */
export function hasOtherData({ failures }: CoordinatorState, worker: string): boolean {
  return (failures.get(`worker:${worker}`)?.count ?? 0) >= maxFailures;
}

/** Counts a failure at a place, which is its name, and gives what is known of the place. */
export function countAt({ failures }: CoordinatorState, place: string, isOfData: boolean) {
  const known = failures.get(place) ?? { count: 0, areOfData: true };
  known.count += 1;
  known.areOfData &&= isOfData;
  failures.set(place, known);
  for (const oldest of failures.keys()) {
    if (failures.size <= maxPlaces) break;
    failures.delete(oldest);
  }
  return known;
}

/** Starts to store the state at `step`; without a state there is nothing to store. */
export function startFinishing(
  state: CoordinatorState,
  world: FormedWorld,
  step: Step | undefined,
  ending: Ending | undefined,
): CoordinatorEffect[] {
  if (step === undefined && ending !== undefined) return end(state, ending);
  if (step === undefined) return gather(state, 'nobody has a state');
  finish(state, { kind: 'finishing', world, step, savers: findSavers(state, step), ending });
  return [];
}

/** The first of the savers also describes and judges the state. */
function finish(state: CoordinatorState, stage: StageOf<'finishing'>): void {
  state.stage = stage;
  const first = state.workers.get(stage.savers[0] ?? '');
  if (first !== undefined) first.hasBeenFirst = true;
}

function findSavers(state: CoordinatorState, step: Step): string[] {
  return workersOf(state)
    .filter((view) => hasSoundState(view) && view.status.step === step)
    .filter((view) => isFree(view) || view.status.stage === 'finishing')
    .filter((view) => isReachable(state, view))
    .map(({ worker }) => worker)
    .sort(byName);
}

/** Ends the run when the state is stored and judged; replaces savers that are lost. */
export function awaitFinish(
  state: CoordinatorState,
  stage: StageOf<'finishing'>,
): CoordinatorEffect[] {
  const { step, ending } = stage;
  const savers = findSavers(state, step);
  // A worker that was left out for a while may have a state from before the newest checkpoint.
  const isStored = (state.savedStep ?? -1) >= step;
  if (savers.length > 0 && savers.join() !== stage.savers.join()) {
    finish(state, { ...stage, savers });
    return [];
  }
  if (savers.length === 0 && !isStored) {
    const isOver = ending !== undefined && ending.exitCode !== exitCodes.ok;
    return isOver
      ? end(state, lost(ending, step, state))
      : gather(state, 'all that had the last state were lost');
  }
  const isDone = savers.every((worker) => isFinished(state, worker));
  if (!isStored || !isDone) return [];
  return ending === undefined ? gather(state, 'all have left') : end(state, ending);
}

/** The ending of a run whose last state nobody has any more. */
function lost(ending: Ending, step: Step, { savedStep }: CoordinatorState): Ending {
  if (ending.exitCode !== exitCodes.stopped) return ending;
  const kept = savedStep === undefined ? '' : `; step ${savedStep} is checkpointed`;
  return { ...ending, reason: `stopped, and the state of step ${step} is lost${kept}` };
}

/** Whether the worker has stored its share of the last state. */
export function isFinished({ workers }: CoordinatorState, worker: string): boolean {
  return workers.get(worker)?.status.stage === 'finished';
}

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

/** Leaves the run to the next coordinator; but where all have to leave, it is stopped in order. */
export function leaveWhenDue(state: CoordinatorState): CoordinatorEffect[] {
  const { leaving, stage, stopReason, ending, config } = state;
  const isEnding = stage.kind === 'ended' || stopReason !== undefined || ending !== undefined;
  if (leaving === undefined || isEnding) return [];
  // The run is about to end: whoever took over could only do the same.
  if (stage.kind === 'finishing' && stage.ending !== undefined) return [];
  const present = workersOf(state).filter(({ session }) => session !== undefined);
  if (present.length > 0 && present.every(({ status }) => status.isLeaving)) {
    state.stopReason = leaving.reason;
    return [notice('stopping: all workers leave as well')];
  }
  if (state.nowMs - leaving.sinceMs < config.timing.leaveMs) return [];
  const reason = `it was asked to leave (${leaving.reason}), and the run goes on without it`;
  return stepDown(state, reason, exitCodes.drained);
}
