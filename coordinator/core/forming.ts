// Forming a world: who can be in it, from which step it starts, and where each member takes the
// state from. A worker can finish step s only if all contributed to s, so those that are left are
// at s or s + 1; the world starts from the highest, and whoever is behind takes it from a peer. If
// nobody has a state, it starts from the newest whole checkpoint.

import type { CoordinatorMessage } from '../../shared/control/messages.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { byName, generationOf, type Step } from '../../shared/words.js';
import { noteFingerprint } from './admission.js';
import { end } from './ending.js';
import { isReachable } from './liveness.js';
import { noteMembers } from './roles.js';
import {
  hasSoundState,
  isFree,
  isLeaving,
  workersOf,
  type CoordinatorEffect,
  type CoordinatorState,
  type Ending,
  type FormedWorld,
  type StageOf,
  type WorkerView,
} from './state.js';

/** Those that are loading the run are waited for so many times longer. */
const joiningFactor = 6;

/** Forms a world when enough workers are there, or ends a run that nobody joins. */
export function awaitWorkers(
  state: CoordinatorState,
  stage: StageOf<'gathering'>,
): CoordinatorEffect[] {
  if (state.stopReason !== undefined) return stopUnformed(state, state.stopReason);
  if (state.ending !== undefined) return end(state, state.ending);
  // Nobody may come in the place of one that leaves: the others do not wait for all any more.
  if (workersOf(state).some(isLeaving))
    stage.patienceMs = Math.min(stage.patienceMs, state.config.timing.regatherMs);
  const hopeless = findHopeless(state);
  if (hopeless !== undefined) return end(state, hopeless);
  const candidates = findCandidates(state);
  const wanted = findWanted(state);
  const waitedMs = state.nowMs - stage.sinceMs;
  if (candidates.length === 0)
    return waitedMs <= longestWaitMs(state) ? [] : end(state, nobodyCame(state));
  if (candidates.length < wanted && !isPatienceOver(state, stage, candidates)) return [];
  const after = stage.reason === '' ? '' : `, after: ${stage.reason}`;
  const reason = `${candidates.length} of ${wanted} workers joined${after}`;
  const step = startOf(state, candidates);
  if (step !== undefined) return formWorld(state, candidates, step, reason);
  if (stage.isSearching) return [];
  stage.isSearching = true;
  return [{ kind: 'findCheckpoint' }];
}

/** Workers that the run is to have, without those that a mistake keeps from its first step. */
function findWanted(state: CoordinatorState): number {
  const most = Math.min(state.target, state.config.microShards);
  return state.hasTrained ? most : Math.max(1, most - findMistaken(state).length);
}

function findMistaken(state: CoordinatorState): WorkerView[] {
  return workersOf(state).filter(({ session, mistake }) => session === undefined && mistake);
}

/** Why no first step can be expected, where all workers that were wanted have come, and failed. */
function findHopeless(state: CoordinatorState): Ending | undefined {
  if (state.hasTrained) return undefined;
  if (workersOf(state).some(({ session }) => session !== undefined)) return undefined;
  const mistaken = findMistaken(state);
  const { target, config, hopeless, nowMs, savedStep } = state;
  const { mistakeMs, returnMs } = config.timing;
  // Those that it was waiting for may be about to come, and these may be none of them.
  const newestMs = Math.max(...mistaken.map(({ heardMs }) => heardMs));
  // The workers of a run that goes on may have to find this coordinator first.
  const waitMs = mistakeMs + (savedStep === undefined ? 0 : returnMs);
  if (nowMs - newestMs < waitMs) return undefined;
  const areAll = mistaken.length === state.workers.size;
  if (areAll && mistaken.length > 0 && mistaken.length >= Math.min(target, config.microShards))
    return mistakeOf(mistaken);
  return hopeless;
}

function mistakeOf(mistaken: readonly WorkerView[]): Ending {
  return { exitCode: exitCodes.configuration, reason: mistaken.at(-1)?.mistake ?? '' };
}

/** A run that has finished waits for those only that are there, so that they hear of it. */
function longestWaitMs(state: CoordinatorState): number {
  const { joinTimeoutMs, finishedMs } = state.config.timing;
  const isAnyoneHere = workersOf(state).some((view) => isReachable(state, view));
  return hasFinished(state) && !isAnyoneHere ? Math.min(joinTimeoutMs, finishedMs) : joinTimeoutMs;
}

function hasFinished({ savedStep, config }: CoordinatorState): boolean {
  return savedStep !== undefined && savedStep >= config.lastStep;
}

/** A new run waits for all; one that goes on does not wait long for those that may be gone. */
function isPatienceOver(
  state: CoordinatorState,
  { sinceMs, patienceMs }: StageOf<'gathering'>,
  candidates: readonly WorkerView[],
): boolean {
  const { nowMs } = state;
  const firstMs = Math.min(...candidates.map(({ readySinceMs }) => readySinceMs ?? nowMs));
  const areMoreComing = workersOf(state).some(
    (view) => view.status.stage === 'joining' && isReachable(state, view),
  );
  return nowMs - Math.max(sinceMs, firstMs) > (areMoreComing ? joiningFactor : 1) * patienceMs;
}

/** The newest state that is left: a worker's, or a checkpoint's that is newer still. */
function startOf(state: CoordinatorState, candidates: readonly WorkerView[]): Step | undefined {
  const kept = newestStepOf(candidates);
  const isOutdated = kept !== undefined && kept < (state.savedStep ?? 0);
  return kept === undefined || isOutdated ? state.coldStep : kept;
}

function stopUnformed(state: CoordinatorState, why: string): CoordinatorEffect[] {
  const { savedStep } = state;
  const reason =
    savedStep === undefined
      ? `stopped before the first step: ${why}`
      : `stopped at step ${savedStep}, which is checkpointed`;
  return end(state, { exitCode: exitCodes.stopped, reason });
}

/** The end of a run whose workers are all gone. */
export function nobodyCame(state: CoordinatorState): Ending {
  const { config, formed, savedStep } = state;
  if (hasFinished(state))
    return { exitCode: exitCodes.ok, reason: `finished at step ${savedStep}` };
  const seconds = Math.round(config.timing.joinTimeoutMs / 1000);
  const mistaken = state.hasTrained ? [] : findMistaken(state);
  if (mistaken.length > 0) return mistakeOf(mistaken);
  if (formed === 0)
    return { exitCode: exitCodes.failed, reason: `no worker joined within ${seconds} s` };
  const reason = `all workers were lost, and none came back within ${seconds} s`;
  return { exitCode: exitCodes.workerLost, reason };
}

/** Whether the worker could be part of the next world. */
export function isEligible(state: CoordinatorState, view: WorkerView): boolean {
  return (
    isFree(view) &&
    !isLeaving(view) &&
    view.status.trouble === '' &&
    state.nowMs >= view.benchedUntilMs &&
    isReachable(state, view)
  );
}

/** Workers that could be part of the next world, in the order of their names. */
export function findCandidates(state: CoordinatorState): WorkerView[] {
  return workersOf(state)
    .filter((view) => isEligible(state, view))
    .sort((a, b) => byName(a.worker, b.worker));
}

/** The highest committed step that one of them has, in a state that is to be trusted. */
export function newestStepOf(views: readonly WorkerView[]): Step | undefined {
  const steps = views.filter(hasSoundState).map(({ status }) => status.step);
  return steps.length === 0 ? undefined : Math.max(...steps);
}

/** Forms the next world of these candidates, at `step`. */
export function formWorld(
  state: CoordinatorState,
  candidates: readonly WorkerView[],
  step: Step,
  reason: string,
): CoordinatorEffect[] {
  const { microShards, until, term } = state.config;
  // Those that have the state come first when there are more than a world can have.
  const chosen = [...candidates]
    .sort((a, b) => Number(hasStateOf(b, step)) - Number(hasStateOf(a, step)))
    .slice(0, microShards)
    .sort((a, b) => byName(a.worker, b.worker));
  state.formed += 1;
  const generation = generationOf(term, state.passedOver + state.formed);
  const members = chosen.map(({ worker, incarnation, address, lanes, socket }, rank) => {
    return { rank, worker, incarnation, address, lanes, socket };
  });
  const world: FormedWorld = { generation, members, step, until };
  state.stage = { kind: 'running', world, sinceMs: state.nowMs, cutSinceMs: undefined };
  noteMembers(state, world);
  state.digests.clear();
  state.coldStep = undefined;
  state.newestStep = Math.max(state.newestStep, step);
  state.furthestStep = Math.max(state.furthestStep, step);
  for (const view of chosen) view.order = undefined;
  const notices = noteFingerprint(state, world);
  return [
    { kind: 'formed', world, fingerprint: state.fingerprint ?? 'unknown', reason },
    ...notices,
  ];
}

function hasStateOf(view: WorkerView, step: Step): boolean {
  return hasSoundState(view) && view.status.step === step;
}

/** What a member hears of its world: donors are spread over those that have the state. */
export function worldMessage(
  state: CoordinatorState,
  { generation, members, step, until }: FormedWorld,
  view: WorkerView,
): CoordinatorMessage {
  const message = { kind: 'world', generation, members, step, until } as const;
  if (hasStateOf(view, step)) return { ...message, source: 'own', donor: '' };
  const donors = members.filter(({ worker }) => {
    const other = state.workers.get(worker);
    return other !== undefined && hasStateOf(other, step);
  });
  const rank = members.findIndex(({ worker }) => worker === view.worker);
  const donor = donors[rank % Math.max(1, donors.length)];
  if (donor === undefined) return { ...message, source: 'checkpoint', donor: '' };
  return { ...message, source: 'peer', donor: donor.address };
}
