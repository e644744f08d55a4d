// The coordinator's decisions: who makes up the world, when a checkpoint is whole, when the run
// ends and how. It is not on the step path: workers step without it. After each event that may
// matter it looks at everything anew (`settle`), so nothing depends on a message coming just once.

import { exitCodes } from '../../shared/exit-codes.js';
import type { StatusMessage, WorkerMessage } from '../../shared/control/messages.js';
import { admit, adoptWorld } from './admission.js';
import {
  addPart,
  addSnapshot,
  addWholeDigest,
  completeCheckpoints,
  onManifestStored,
  setBack,
} from './checkpoints.js';
import { compareDigest } from './divergence.js';
import { awaitFinish } from './finishing.js';
import { byName } from './forming.js';
import { awaitWorkers } from './gathering.js';
import { awaitHalt } from './halting.js';
import { giveOrders } from './orders.js';
import { watchWorld } from './running.js';
import { leaveWhenDue, noteLeave, stepDown, supersededBy } from './leaving.js';
import { end, isFree } from './stages.js';
import type {
  CoordinatorEffect,
  CoordinatorEvent,
  CoordinatorState,
  Ending,
  WorkerView,
} from './state.js';

/** Failures told by workers, without a step between them, that end the run. */
const maxFailures = 3;

/** Moves from stage to stage that one event can lead to. */
const maxMoves = 8;

/** What the coordinator does about an event. Changes `state`; same arguments, same decision. */
export function transition(
  state: CoordinatorState,
  event: CoordinatorEvent,
  nowMs: number,
): CoordinatorEffect[] {
  return transitionAll(state, [event], nowMs);
}

/**
 * The same for events that came together: all are taken in before anything follows from them. What
 * follows takes a look at every worker, so a thousand statuses must not cost a thousand looks.
 */
export function transitionAll(
  state: CoordinatorState,
  events: readonly CoordinatorEvent[],
  nowMs: number,
): CoordinatorEffect[] {
  forgivePause(state, nowMs);
  const effects: CoordinatorEffect[] = [];
  let isNews = false;
  for (const event of events) {
    if (state.stage.kind === 'ended') break;
    const told = onEvent(state, event, nowMs);
    if (told === undefined) continue;
    isNews = true;
    effects.push(...told);
  }
  return isNews ? [...effects, ...settle(state, nowMs)] : effects;
}

/** Follows the stages as far as they lead now, then gives the orders that are due. */
function settle(state: CoordinatorState, nowMs: number): CoordinatorEffect[] {
  const effects = [...completeCheckpoints(state, nowMs), ...leaveWhenDue(state, nowMs)];
  for (let moves = 0; moves < maxMoves; moves++) {
    const before = state.stage;
    effects.push(...advance(state, nowMs));
    if (state.stage === before) break;
  }
  return [...effects, ...giveOrders(state, nowMs)];
}

function advance(state: CoordinatorState, nowMs: number): CoordinatorEffect[] {
  const { stage } = state;
  switch (stage.kind) {
    case 'gathering':
      return awaitWorkers(state, stage, nowMs);
    case 'running':
      return watchWorld(state, stage, nowMs);
    case 'halting':
      return awaitHalt(state, stage, nowMs);
    case 'finishing':
      return awaitFinish(state, stage, nowMs);
    case 'ended':
      return [];
  }
}

/** Takes an event in; undefined when nothing can follow from it. */
function onEvent(
  state: CoordinatorState,
  event: CoordinatorEvent,
  nowMs: number,
): CoordinatorEffect[] | undefined {
  switch (event.kind) {
    case 'message':
      return onMessage(state, event, nowMs);
    case 'closed': {
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
      return [{ kind: 'notice', text: `stopping: ${event.reason}` }];
    case 'scaleAsked':
      return onScaleAsked(state, event.workers);
    case 'superseded':
      return stepDown(state, supersededBy(state, event.term));
    case 'leaseLost':
      return stepDown(state, `the lease of the run is lost: ${event.reason}`);
    case 'leaveAsked':
      return noteLeave(state, event.reason, nowMs);
    case 'tick':
      onTick(state, nowMs);
      return [];
  }
}

function onMessage(
  state: CoordinatorState,
  { session, worker, message }: CoordinatorEvent & { readonly kind: 'message' },
  nowMs: number,
): CoordinatorEffect[] | undefined {
  if (message.kind === 'hello') {
    if (message.term > state.config.term) return stepDown(state, supersededBy(state, message.term));
    const effects = admit(state, session, message, nowMs);
    if (state.workers.get(worker)?.session === session) adoptWorld(state, message, nowMs);
    noteReadiness(state.workers.get(worker), nowMs);
    return effects;
  }
  const view = state.workers.get(worker);
  // Who was refused or replaced has no say.
  if (view?.session !== session) return undefined;
  view.heardMs = nowMs;
  return onReport(state, view, message, nowMs);
}

function onReport(
  state: CoordinatorState,
  view: WorkerView,
  message: Exclude<WorkerMessage, { kind: 'hello' }>,
  nowMs: number,
): CoordinatorEffect[] | undefined {
  switch (message.kind) {
    case 'status':
      return onStatus(view, message, nowMs);
    case 'stepReport':
      if (message.step > state.newestStep) state.failures = 0;
      state.newestStep = Math.max(state.newestStep, message.step);
      return undefined;
    case 'evaluation':
      return undefined;
    case 'partStored':
      addPart(state, view.worker, message);
      return [];
    case 'snapshot':
      addSnapshot(state, message);
      return [];
    case 'digest':
      if (!message.isWhole) return compareDigest(state, view.worker, message, nowMs);
      addWholeDigest(state, view.worker, message);
      return [];
    case 'failure':
      return onFailure(state, view, message.reason, message.exitCode);
  }
}

/** A routine heartbeat changes nothing that a decision looks at. */
function onStatus(
  view: WorkerView,
  message: StatusMessage,
  nowMs: number,
): CoordinatorEffect[] | undefined {
  const before = view.status;
  if (message.sequence <= before.sequence) return undefined;
  view.status = message;
  if (message.stage === 'entered') view.isDiverged = false;
  noteReadiness(view, nowMs);
  const isRoutine =
    message.stage === before.stage &&
    message.generation === before.generation &&
    message.isLeaving === before.isLeaving &&
    message.trouble === before.trouble &&
    message.suspicions.length === before.suspicions.length;
  return isRoutine ? undefined : [];
}

function noteReadiness(view: WorkerView | undefined, nowMs: number): void {
  if (view !== undefined)
    view.readySinceMs = isFree(view) ? (view.readySinceMs ?? nowMs) : undefined;
}

/** A failing worker is lost like any other; but what fails again and again ends the run. */
function onFailure(
  state: CoordinatorState,
  view: WorkerView,
  reason: string,
  exitCode: number,
): CoordinatorEffect[] {
  const text = `${view.worker} failed: ${reason}`;
  state.failures += 1;
  if (exitCode === exitCodes.configuration) state.ending ??= { exitCode, reason: text };
  else if (state.failures >= maxFailures) state.ending ??= repeated(text);
  // Its process is about to end; one that comes after it has a greater incarnation.
  view.failure = `it failed: ${reason}`;
  view.session = undefined;
  return [{ kind: 'notice', text }];
}

function repeated(text: string): Ending {
  const reason = `${text} (failure ${maxFailures} without a step between them)`;
  return { exitCode: exitCodes.failed, reason };
}

/** The last ones by name are let go when there are more workers than wanted. */
function onScaleAsked(state: CoordinatorState, workers: number): CoordinatorEffect[] {
  state.target = workers;
  const present = [...state.workers.values()]
    .filter(({ session }) => session !== undefined)
    .sort((a, b) => byName(a.worker, b.worker));
  for (const [i, view] of present.entries()) view.isDismissed = i >= workers;
  // Who was let go and has gone may come again, as another process, when there is room.
  if (present.length < workers)
    for (const view of state.workers.values()) view.isDismissed &&= view.session !== undefined;
  return [{ kind: 'target', workers }];
}

/** Longest time without a tick that is not held against the workers. */
const longestPauseMs = 1_000;

/** How long a worker is remembered that has left. */
const memoryMs = 120_000;

/** A coordinator that stood still has not heard silence, whatever it hears first afterwards. */
function forgivePause(state: CoordinatorState, nowMs: number): void {
  const pauseMs = nowMs - state.tickedMs;
  if (pauseMs <= longestPauseMs) return;
  state.tickedMs = nowMs;
  for (const view of state.workers.values()) view.heardMs = Math.min(nowMs, view.heardMs + pauseMs);
}

function onTick(state: CoordinatorState, nowMs: number): void {
  state.tickedMs = nowMs;
  for (const view of state.workers.values()) {
    if (view.session === undefined && nowMs - view.heardMs > memoryMs) forget(state, view);
  }
}

function forget(state: CoordinatorState, { worker, incarnation }: WorkerView): void {
  const { stage } = state;
  const isMember =
    'world' in stage &&
    stage.world.members.some((m) => m.worker === worker && m.incarnation === incarnation);
  if (!isMember) state.workers.delete(worker);
}
