// A world that is there: what makes it halt, and what follows when all have halted. Losses and cut
// links halt it at once (abort); what can wait for the end of the step, newcomers and leavers,
// halts it by a vote.

import { exitCodes } from '../../shared/exit-codes.js';
import type { Step } from '../../shared/words.js';
import { end, gather, halt, startFinishing } from './ending.js';
import { findCandidates, formWorld, isEligible, newestStepOf, nobodyCame } from './forming.js';
import {
  findCutLinks,
  findLosses,
  isOnItsWay,
  isReachable,
  isTraining,
  longestSilenceMs,
  noteCutLinks,
} from './liveness.js';
import {
  isFree,
  isLeaving,
  notice,
  viewOf,
  workersOf,
  type CoordinatorEffect,
  type CoordinatorState,
  type Ending,
  type FormedWorld,
  type StageOf,
  type WorkerView,
} from './state.js';

/** Halts the world if something asks for it. */
export function watchWorld(
  state: CoordinatorState,
  stage: StageOf<'running'>,
): CoordinatorEffect[] {
  const { world, sinceMs } = stage;
  if (isDeserted(state, stage)) return end(state, nobodyCame(state));
  if (isJustAdopted(state, stage)) return [];
  const losses = findLosses(state, world, sinceMs);
  if (losses.length > 0) {
    const why = losses.map(({ worker, reason }) => `${worker} was lost: ${reason}`).join('; ');
    halt(
      state,
      world,
      'abort',
      why,
      losses.map(({ worker }) => worker),
    );
    return losses;
  }
  return watchLinks(state, stage) ?? watchWishes(state, world);
}

/** Nobody has been heard for so long that nobody can be expected back. */
function isDeserted(state: CoordinatorState, { world, sinceMs }: StageOf<'running'>): boolean {
  const heardMs = world.members.map((member) => viewOf(state, member)?.heardMs ?? sinceMs);
  return state.nowMs - Math.max(sinceMs, ...heardMs) > state.config.timing.joinTimeoutMs;
}

/** A world of another coordinator: its members, or those of a later one, may be coming back. */
function isJustAdopted(state: CoordinatorState, { sinceMs }: StageOf<'running'>): boolean {
  return state.formed === 0 && state.nowMs - sinceMs < state.config.timing.heartbeatTimeoutMs;
}

function watchLinks(
  state: CoordinatorState,
  stage: StageOf<'running'>,
): CoordinatorEffect[] | undefined {
  if (findCutLinks(state, stage.world).length === 0) {
    stage.cutSinceMs = undefined;
    return undefined;
  }
  stage.cutSinceMs ??= state.nowMs;
  const isShort = state.nowMs - stage.cutSinceMs < state.config.timing.linkTimeoutMs;
  return isShort ? undefined : dialAnew(state, stage.world);
}

/** Gives a world up whose members can't reach one another, if there are such. */
function dialAnew(state: CoordinatorState, world: FormedWorld): CoordinatorEffect[] | undefined {
  const links = findCutLinks(state, world);
  const [first] = links;
  if (first === undefined) return undefined;
  const benched = noteCutLinks(state, links);
  const left = benched === undefined ? 'dialling anew' : `${benched} stays out for a while`;
  const { witness, suspect, reason } = first;
  const text = `${witness} can't reach ${suspect}, which is heard: ${reason}; ${left}`;
  halt(state, world, 'abort', text);
  return [notice(text)];
}

/** Why the world should end after a step, or at once where nobody takes steps yet. */
function watchWishes(state: CoordinatorState, world: FormedWorld): CoordinatorEffect[] {
  const views = world.members.flatMap((member) => viewOf(state, member) ?? []);
  const isComplete = views.length === world.members.length;
  const trainAll = isComplete && views.every((view) => isTraining(view, world));
  const halted = views.find((view) => view.status.generation === world.generation && isFree(view));
  const leaving = views.filter(isLeaving);
  const mode = trainAll ? 'vote' : 'abort';
  const notices = benchObstructed(state, world, views);
  if (state.ending !== undefined) halt(state, world, 'abort', state.ending.reason);
  else if (halted !== undefined)
    // It has seen the vote or the last step; so will the others, unless it could not enter.
    halt(state, world, halted.status.step > world.step ? 'vote' : mode, 'a worker halted');
  else if (state.stopReason !== undefined) halt(state, world, mode, state.stopReason);
  else if (leaving.length > 0)
    halt(state, world, mode, `${leaving.map(({ worker }) => worker).join(', ')} leaves`);
  else if (trainAll) admitNewcomers(state, world);
  return notices;
}

/** Who could not enter stays out for a moment, so that worlds do not follow without a pause. */
function benchObstructed(
  state: CoordinatorState,
  { generation }: FormedWorld,
  views: readonly WorkerView[],
): CoordinatorEffect[] {
  return views.flatMap((view): CoordinatorEffect[] => {
    const { status, worker } = view;
    if (status.generation !== generation || status.obstacle === '') return [];
    view.benchedUntilMs = state.nowMs + state.config.timing.obstacleMs;
    return [notice(`${worker} could not take the state: ${status.obstacle}`)];
  });
}

/** Several that come together cost the others one pause. */
function admitNewcomers(state: CoordinatorState, world: FormedWorld): void {
  const { nowMs, config } = state;
  if (world.members.length >= config.microShards) return;
  const members = new Set(world.members.map(({ worker }) => worker));
  const newcomers = workersOf(state).filter(
    (view) => !members.has(view.worker) && isEligible(state, view),
  );
  if (newcomers.length === 0) return;
  const waitedMs = nowMs - Math.min(...newcomers.map((view) => view.readySinceMs ?? nowMs));
  const areMoreComing = workersOf(state).some(
    (view) => view.session !== undefined && view.status.stage === 'joining',
  );
  const { batchMs } = config.timing;
  if (waitedMs < (areMoreComing ? 10 * batchMs : batchMs)) return;
  halt(state, world, 'vote', `${newcomers.map(({ worker }) => worker).join(', ')} joins`);
}

/** Goes on as soon as every member that can be waited for has halted. */
export function awaitHalt(state: CoordinatorState, stage: StageOf<'halting'>): CoordinatorEffect[] {
  const { world, sinceMs, mode } = stage;
  const losses = findLosses(state, world, sinceMs).filter(
    ({ worker }) => !stage.lost.includes(worker),
  );
  if (losses.length > 0) {
    const lost = losses.map(({ worker }) => worker);
    // By a vote the others wait for everybody's part in the step: a loss turns it into an abort.
    const reason = mode === 'vote' ? `${lost.join(', ')} was lost` : stage.reason;
    state.stage = { ...stage, mode: 'abort', reason, lost: [...stage.lost, ...lost] };
    return losses;
  }
  // A vote travels with a step, and no step is completed where a link is cut.
  if (mode === 'vote' && state.nowMs - sinceMs >= state.config.timing.linkTimeoutMs) {
    const cut = dialAnew(state, world);
    if (cut !== undefined) return cut;
  }
  const isAwaited = world.members.some((member) => {
    if (stage.lost.includes(member.worker)) return false;
    const view = viewOf(state, member);
    if (view === undefined) return isOnItsWay(state, member);
    return !hasHalted(view, world.generation) && isPatient(state, view);
  });
  return isAwaited ? [] : goOn(state, stage);
}

function hasHalted(view: WorkerView, generation: number): boolean {
  const { status } = view;
  return status.generation > generation || status.stage === 'joining' || isFree(view);
}

/** A worker that can't be heard is waited for a little: it may have opened another session. */
function isPatient(state: CoordinatorState, view: WorkerView): boolean {
  return isReachable(state, view) || state.nowMs - view.heardMs <= longestSilenceMs(state, view);
}

/** What follows a world: the next one, the end of the run, or waiting for workers. */
function goOn(state: CoordinatorState, { world, reason }: StageOf<'halting'>): CoordinatorEffect[] {
  const candidates = findCandidates(state);
  const present = workersOf(state).filter((view) => isReachable(state, view));
  const step = newestStepOf(present.filter(isFree));
  const ending = endingOf(state, present, step);
  if (ending !== undefined) return startFinishing(state, world, step, ending);
  const kept = newestStepOf(candidates);
  if (kept !== undefined && kept >= (state.savedStep ?? 0))
    return formWorld(state, candidates, kept, reason);
  // What only those have who leave is stored before they go.
  const isToBeStored = kept === undefined && step !== undefined && step > (state.savedStep ?? -1);
  if (isToBeStored) return startFinishing(state, world, step, undefined);
  return gather(state, reason);
}

/** Why the run is over at `step`, if it is. */
function endingOf(
  state: CoordinatorState,
  present: readonly WorkerView[],
  step: Step | undefined,
): Ending | undefined {
  if (state.ending !== undefined) return state.ending;
  const trouble = present.map(({ status }) => status.trouble).find((text) => text !== '');
  if (trouble !== undefined) return { exitCode: exitCodes.failed, reason: trouble };
  if (step === undefined) return undefined;
  const { until, lastStep } = state.config;
  if (step >= lastStep) return { exitCode: exitCodes.ok, reason: `finished at step ${step}` };
  if (step < until && state.stopReason === undefined) return undefined;
  const reason = `stopped at step ${step}, which is checkpointed`;
  return { exitCode: exitCodes.stopped, reason };
}
