// The coordinator's decisions: who makes up the world, when a checkpoint is whole, when the run
// ends and how. It is not on the step path: workers step without it. After each event that may
// matter it looks at everything anew (`settle`), so nothing depends on a message coming just once.

import type { FailureMessage, StatusMessage } from '../../shared/control/messages.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { byName } from '../../shared/words.js';
import { answerWaiting, noteReadiness, onHello, refuseDoubtful, refuseMixed } from './admission.js';
import {
  addPart,
  addSnapshot,
  addWholeDigest,
  compareDigest,
  completeCheckpoints,
  onManifestStored,
  setBack,
  judgeCheckpoint,
} from './checkpoints.js';
import { awaitFinish, countFailure, end, leaveWhenDue, stepDown, supersededBy } from './ending.js';
import { awaitWorkers } from './forming.js';
import { giveOrders } from './orders.js';
import { believe, isEntitled, isMember, noteTraining, type Report } from './roles.js';
import { awaitHalt, watchWorld } from './running.js';
import {
  notice,
  viewOf,
  workersOf,
  worldOf,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
  type WorkerView,
} from './state.js';

/** Moves from stage to stage that one event can lead to. */
const maxMoves = 8;

/**
 * What the coordinator does about events that came together. Changes `state`; same arguments, same
 * decision. All events are taken in before anything follows from them: what follows takes a look at
 * every worker, so a thousand statuses must not cost a thousand looks.
 */
export function transition(
  state: CoordinatorState,
  events: readonly CoordinatorEvent[],
  nowMs: number,
): CoordinatorEffect[] {
  state.nowMs = nowMs;
  forgivePause(state);
  const effects: CoordinatorEffect[] = [];
  let isNews = false;
  for (const event of events) {
    if (state.stage.kind === 'ended') break;
    const wanted = onEvent(state, event);
    if (wanted === undefined) continue;
    isNews ||= !wanted.some(({ kind }) => kind === 'report');
    effects.push(...wanted);
  }
  return isNews ? [...effects, ...settle(state)] : effects;
}

/** Follows the stages as far as they lead now, then gives the orders that are due. */
function settle(state: CoordinatorState): CoordinatorEffect[] {
  const effects = [...answerWaiting(state), ...completeCheckpoints(state), ...leaveWhenDue(state)];
  for (let moves = 0; moves < maxMoves; moves++) {
    const before = state.stage;
    effects.push(...advance(state));
    if (state.stage === before) break;
  }
  return [...effects, ...giveOrders(state)];
}

function advance(state: CoordinatorState): CoordinatorEffect[] {
  const { stage } = state;
  switch (stage.kind) {
    case 'gathering':
      return awaitWorkers(state, stage);
    case 'running':
      return watchWorld(state, stage);
    case 'halting':
      return awaitHalt(state, stage);
    case 'finishing':
      return awaitFinish(state, stage);
    case 'ended':
      return [];
  }
}

/** Takes an event in; undefined when nothing can follow from it. */
function onEvent(
  state: CoordinatorState,
  event: CoordinatorEvent,
): CoordinatorEffect[] | undefined {
  switch (event.kind) {
    case 'message':
      return onMessage(state, event);
    case 'closed': {
      state.waiting.delete(event.session);
      const view = state.workers.get(event.worker);
      if (view?.session !== event.session) return undefined;
      view.session = undefined;
      return [];
    }
    case 'checkpointFound':
      setBack(state, event.step, event.isStored);
      state.coldStep = event.step;
      return [];
    case 'searchFailed': {
      const reason = `no checkpoint could be looked for: ${event.reason}`;
      return end(state, { exitCode: exitCodes.failed, reason });
    }
    case 'manifestStored':
      return onManifestStored(state, event.step);
    case 'manifestFailed': {
      const reason = `the checkpoint of step ${event.step} could not be committed: ${event.reason}`;
      return end(state, { exitCode: exitCodes.failed, reason });
    }
    case 'stopAsked':
      if (state.stopReason !== undefined) return undefined;
      state.stopReason = event.reason;
      return [notice(`stopping: ${event.reason}`)];
    case 'failAsked':
      state.ending ??= event.ending;
      return [];
    case 'scaleAsked':
      return onScaleAsked(state, event.workers);
    case 'newestTerm':
      return event.term > state.config.term
        ? stepDown(state, supersededBy(state, event.term))
        : refuseDoubtful(state, event.askedMs);
    case 'termTaken':
      return stepDown(
        state,
        `another coordinator has taken term ${state.config.term}, whose file in the run's ` +
          `coordinators/ was deleted or altered: ${event.holder}`,
      );
    case 'leaseLost':
      return stepDown(state, `the lease of the run is lost: ${event.reason}`);
    case 'leaveAsked':
      if (state.leaving !== undefined) return undefined;
      state.leaving = { reason: event.reason, sinceMs: state.nowMs };
      return [notice(`leaving: ${event.reason}`)];
    case 'tick':
      onTick(state);
      return [];
  }
}

function onMessage(
  state: CoordinatorState,
  { session, worker, message }: CoordinatorEvent & { readonly kind: 'message' },
): CoordinatorEffect[] | undefined {
  if (message.kind === 'hello') return onHello(state, session, message);
  const view = state.workers.get(worker);
  // Who waits, was refused or was replaced has no say.
  if (view?.session !== session) return undefined;
  view.heardMs = state.nowMs;
  if (message.kind === 'status') return onStatus(state, view, message);
  if (message.kind === 'failure') return onFailure(state, view, message);
  return isEntitled(state, view, message) ? onReport(state, view, message) : undefined;
}

function onReport(state: CoordinatorState, view: WorkerView, message: Report): CoordinatorEffect[] {
  switch (message.kind) {
    case 'stepReport':
      state.newestStep = Math.max(state.newestStep, message.step);
      state.furthestStep = Math.max(state.furthestStep, message.step);
      return [{ kind: 'report', message }];
    case 'evaluation':
      return [{ kind: 'report', message }, ...judgeCheckpoint(state, message)];
    case 'partStored':
      addPart(state, view.worker, message);
      return [];
    case 'snapshot':
      addSnapshot(state, message);
      return [];
    case 'digest':
      if (!message.isWhole) return compareDigest(state, view.worker, message);
      addWholeDigest(state, view.worker, message);
      return [];
  }
}

/** A routine heartbeat changes nothing that a decision looks at. */
function onStatus(
  state: CoordinatorState,
  view: WorkerView,
  said: StatusMessage,
): CoordinatorEffect[] | undefined {
  const before = view.status;
  if (said.sequence <= before.sequence) return undefined;
  const message = believe(state, view.hasBeenMember, said);
  view.status = message;
  if (message.stage === 'entered') view.isDiverged = false;
  noteReadiness(state, view);
  noteTraining(state, view);
  if (message.fingerprint !== before.fingerprint) return refuseMixed(state, view);
  const isRoutine =
    message.stage === before.stage &&
    message.generation === before.generation &&
    message.isLeaving === before.isLeaving &&
    message.trouble === before.trouble &&
    message.suspicions.length === before.suspicions.length;
  return isRoutine ? undefined : [];
}

/**
 * A failing member is lost like any other. What keeps a newcomer from its first step is its own
 * end; but where nobody has taken one yet, it may be what keeps all from it.
 */
function onFailure(
  state: CoordinatorState,
  view: WorkerView,
  failure: FailureMessage,
): CoordinatorEffect[] {
  const text = `${view.worker} failed: ${failure.reason}`;
  const isMistake = failure.exitCode === exitCodes.configuration;
  if (isMistake && !(view.hasTrained && isMember(state, view))) view.mistake = text;
  else if (isMember(state, view)) state.ending ??= countFailure(state, view.worker, failure);
  else if (!state.hasTrained) state.hopeless ??= countFailure(state, view.worker, failure);
  // Its process is about to end; one that comes after it has a greater incarnation.
  view.failure = `it failed: ${failure.reason}`;
  view.session = undefined;
  return [notice(text)];
}

/** The last ones by name are let go when there are more workers than wanted. */
function onScaleAsked(state: CoordinatorState, workers: number): CoordinatorEffect[] {
  state.target = workers;
  const present = workersOf(state)
    .filter(({ session }) => session !== undefined)
    .sort((a, b) => byName(a.worker, b.worker));
  for (const [i, view] of present.entries()) view.isDismissed = i >= workers;
  // Who was let go and has gone may come again, as another process, when there is room.
  if (present.length < workers)
    for (const view of workersOf(state)) view.isDismissed &&= view.session !== undefined;
  return [{ kind: 'target', workers }];
}

/** Longest time without a tick that is not held against the workers. */
const longestPauseMs = 1_000;

/** How long a worker is remembered that has left. */
const memoryMs = 120_000;
/** How many of them, or as many as the run is to have. */
const maxGone = 32;

/** A coordinator that stood still has not heard silence, whatever it hears first afterwards. */
function forgivePause(state: CoordinatorState): void {
  const { nowMs } = state;
  const pauseMs = nowMs - state.tickedMs;
  if (pauseMs <= longestPauseMs) return;
  state.tickedMs = nowMs;
  for (const view of workersOf(state)) view.heardMs = Math.min(nowMs, view.heardMs + pauseMs);
  for (const waiting of state.waiting.values()) waiting.sinceMs += pauseMs;
}

function onTick(state: CoordinatorState): void {
  const { nowMs } = state;
  state.tickedMs = nowMs;
  const members = new Set(worldOf(state)?.members.map((member) => viewOf(state, member)));
  const gone = workersOf(state).filter((view) => view.session === undefined && !members.has(view));
  const kept = gone
    .filter(({ heardMs }) => nowMs - heardMs <= memoryMs)
    .sort((a, b) => b.heardMs - a.heardMs)
    .slice(0, Math.max(maxGone, state.target));
  const isKept = new Set(kept);
  for (const view of gone) if (!isKept.has(view)) state.workers.delete(view.worker);
}
