// A worker's decisions: when to load, enter a world, connect, train, give up, store and leave.
// It never decides who is dead: it reports the peers it can't reach, and obeys the coordinator with
// the highest term. Without a coordinator it goes on in its world.

import { exitCodes } from '../../shared/exit-codes.js';
import {
  noWorld,
  protocolVersion,
  type CoordinatorMessage,
  type Hello,
  type WelcomeMessage,
  type WorkerMessage,
  type WorkerStage,
  type WorkerStatus,
  type WorldMessage,
} from '../../shared/control/messages.js';
import type { Generation, Step } from '../../shared/words.js';
import type { KeptReport, WorkerEffect, WorkerEvent, WorkerState } from './state.js';

/** What the worker does about an event. Changes `state`; same arguments, same decision. */
export function transition(state: WorkerState, event: WorkerEvent, nowMs: number): WorkerEffect[] {
  if (state.stage === 'ended') return [];
  const { stage, world } = state;
  const effects = decide(state, event, nowMs);
  // A coordinator that waits for this worker hears of a new stage at once, not with a heartbeat.
  const isNews = state.stage !== stage || state.world !== world;
  if (isNews && (state.stage as WorkerState['stage']) !== 'ended')
    effects.unshift(...tellStatus(state));
  return effects;
}

function decide(state: WorkerState, event: WorkerEvent, nowMs: number): WorkerEffect[] {
  switch (event.kind) {
    case 'sessionOpened':
      state.isConnected = true;
      return [{ kind: 'send', message: greet(state) }, ...reportsAgain(state)];
    case 'sessionLost':
      if (state.isWelcome) state.aloneSinceMs = nowMs;
      state.isConnected = false;
      state.isWelcome = false;
      return [];
    case 'message':
      return onMessage(state, event.message);
    case 'ready':
      return onReady(state, event.fingerprint);
    case 'entered':
      return onEntered(state, event.generation);
    case 'enterFailed':
      if (!isIn(state, event.generation, 'entering')) return [];
      state.obstacle = event.reason.slice(0, 1000);
      return halt(state, state.step, '');
    case 'joined':
      return onJoined(state, event.generation);
    case 'peerLost':
      return onPeerLost(state, event.generation, event.worker, event.reason);
    case 'activity':
      if (state.stage === 'training') state.step = Math.max(state.step, event.step);
      state.hasTrained ||= state.step > state.world.step;
      state.activity = event.activity;
      return [];
    case 'paced':
      state.pace = event.pace;
      return [];
    case 'tell':
      keepReport(state, event.message);
      return [{ kind: 'send', message: event.message }];
    case 'halted':
      return onHalted(state, event);
    case 'finished':
      if (!isIn(state, event.generation, 'finishing')) return [];
      state.stage = 'finished';
      return enterNext(state);
    case 'failed':
      return onFailed(state, event);
    case 'stopAsked':
      return onStopAsked(state, nowMs);
    case 'tick':
      return onTick(state, nowMs);
  }
}

function tellStatus(state: WorkerState): WorkerEffect[] {
  if (!state.isConnected) return [];
  return [{ kind: 'send', message: { kind: 'status', ...nextStatus(state) } }];
}

function end(state: WorkerState, exitCode: number, reason: string): WorkerEffect[] {
  state.stage = 'ended';
  return [{ kind: 'end', exitCode, reason }];
}

function isIn(
  state: WorkerState,
  generation: Generation,
  ...stages: readonly WorkerStage[]
): boolean {
  return state.world.generation === generation && stages.some((stage) => stage === state.stage);
}

function onMessage(state: WorkerState, message: CoordinatorMessage): WorkerEffect[] {
  // Before its welcome nobody knows whose coordinator it is.
  if (!state.isWelcome && message.kind !== 'welcome' && message.kind !== 'end') return [];
  switch (message.kind) {
    case 'welcome':
      return onWelcome(state, message);
    case 'world':
      return onWorld(state, message);
    case 'connect':
      if (!isIn(state, message.generation, 'entered')) return [];
      state.stage = 'connecting';
      state.activity = 'connect';
      return [{ kind: 'join', world: state.world, rank: state.rank }];
    case 'vote':
      return isIn(state, message.generation, 'training') ? [{ kind: 'voteStop' }] : [];
    case 'abort':
      return onAbort(state, message.generation, message.reason);
    case 'finish':
      return onFinish(state, message);
    case 'checkpointed':
      forgetReports(state, message.step);
      return [];
    case 'fault':
      return state.config.allowsFaults ? [{ kind: 'fault', fault: message }] : [];
    case 'end':
      return end(state, message.exitCode, message.reason);
  }
}

/** An earlier coordinator that does not know of its successor yet is left alone. */
function onWelcome(
  state: WorkerState,
  { term, run: id, runUrl: url, record, recordSha256, othersTrain }: WelcomeMessage,
): WorkerEffect[] {
  if (term < state.term)
    return [{ kind: 'redial', reason: `its term ${term} is over; ${state.term} leads the run` }];
  state.term = term;
  state.isWelcome = true;
  if (state.run === undefined) {
    state.run = { id, url, record, recordSha256, othersTrain };
    state.activity = 'prepare';
    return [{ kind: 'prepare', runUrl: url, record }];
  }
  if (state.run.url === url && state.run.recordSha256 === recordSha256) return [];
  return end(state, exitCodes.refused, `the coordinator now leads another run, ${url}`);
}

function onWorld(state: WorkerState, message: WorldMessage): WorkerEffect[] {
  const { kind: _, ...world } = message;
  const newest = Math.max(state.world.generation, state.next?.generation ?? 0);
  if (world.generation <= newest || rankIn(state, world) === undefined) return [];
  state.next = world;
  switch (state.stage) {
    case 'ready':
    case 'halted':
    case 'finished':
      return enterNext(state);
    case 'entering':
    case 'entered':
    case 'connecting':
    case 'training':
      // The others went on without this worker, which did not hear of it.
      return onAbort(state, state.world.generation, 'a later world was formed');
    default:
      return [];
  }
}

function rankIn(state: WorkerState, world: Omit<WorldMessage, 'kind'>): number | undefined {
  const { worker, incarnation } = state.config;
  return world.members.find((m) => m.worker === worker && m.incarnation === incarnation)?.rank;
}

function enterNext(state: WorkerState): WorkerEffect[] {
  const world = state.next;
  if (world === undefined) return [];
  const rank = rankIn(state, world) ?? 0;
  state.next = undefined;
  state.world = world;
  state.rank = rank;
  state.stage = 'entering';
  state.activity = 'enter';
  state.suspicions.clear();
  state.obstacle = '';
  const { generation, step, source, donor } = world;
  const worldSize = world.members.length;
  return [{ kind: 'enter', generation, rank, worldSize, step, source, donor }];
}

function onReady(state: WorkerState, fingerprint: string): WorkerEffect[] {
  if (state.stage !== 'joining') return [];
  state.fingerprint = fingerprint;
  state.stage = 'ready';
  state.activity = 'wait';
  return enterNext(state);
}

function onEntered(state: WorkerState, generation: Generation): WorkerEffect[] {
  if (!isIn(state, generation, 'entering')) return [];
  state.stage = 'entered';
  state.activity = 'wait';
  state.step = state.world.step;
  state.hasState = true;
  forgetFuture(state);
  return [];
}

function onJoined(state: WorkerState, generation: Generation): WorkerEffect[] {
  if (!isIn(state, generation, 'connecting')) return [];
  state.stage = 'training';
  return [{ kind: 'train', generation, until: state.world.until }];
}

/**
 * The coordinator decides what follows. It hears at once of the first peer that is lost, and of the
 * others with the next heartbeat: where a hundred die, a thousand report it. Also while it gives up
 * the step: two may be lost at the same moment.
 */
function onPeerLost(
  state: WorkerState,
  generation: Generation,
  worker: string,
  reason: string,
): WorkerEffect[] {
  if (!isIn(state, generation, 'training', 'connecting', 'aborting', 'halted')) return [];
  const isFirst = state.suspicions.size === 0;
  state.suspicions.set(worker, reason.slice(0, 200));
  return isFirst ? tellStatus(state) : [];
}

function onAbort(state: WorkerState, generation: Generation, reason: string): WorkerEffect[] {
  if (!isIn(state, generation, 'entering', 'entered', 'connecting', 'training')) return [];
  state.stage = 'aborting';
  return [{ kind: 'abort', generation, reason }];
}

function onHalted(
  state: WorkerState,
  event: WorkerEvent & { readonly kind: 'halted' },
): WorkerEffect[] {
  if (!isIn(state, event.generation, 'training', 'aborting')) return [];
  state.hasState = event.hasState;
  return halt(state, event.step, event.trouble);
}

function halt(state: WorkerState, step: Step, trouble: string): WorkerEffect[] {
  state.stage = 'halted';
  state.step = step;
  state.trouble = trouble;
  state.activity = 'wait';
  return enterNext(state);
}

function onFinish(
  state: WorkerState,
  message: CoordinatorMessage & { readonly kind: 'finish' },
): WorkerEffect[] {
  const { generation, step } = message;
  if (!isIn(state, generation, 'halted', 'finished') || state.step !== step) return [];
  state.stage = 'finishing';
  state.activity = 'finish';
  return [message];
}

/** The coordinator learns of it, and this process ends; whoever runs it may start it again. */
function onFailed(
  state: WorkerState,
  { reason, exitCode, sample }: WorkerEvent & { readonly kind: 'failed' },
): WorkerEffect[] {
  const message = { kind: 'failure', reason: reason.slice(0, 4000), exitCode, sample } as const;
  // A mistake that others did not make is this worker's: whoever runs them all need not end them.
  const isOwn = state.run?.othersTrain === true && !state.hasTrained;
  const isOwnMistake = isOwn && exitCode === exitCodes.configuration;
  const code = isOwnMistake ? exitCodes.refused : exitCode;
  return [{ kind: 'send', message }, ...end(state, code, reason)];
}

function onStopAsked(state: WorkerState, nowMs: number): WorkerEffect[] {
  if (state.isLeaving) return [];
  state.isLeaving = true;
  state.leavingSinceMs = nowMs;
  // Nobody counts on a worker that is in no world.
  const told = tellStatus(state);
  if (state.stage !== 'joining' && state.stage !== 'ready') return told;
  return [...told, ...end(state, exitCodes.drained, 'left before it was part of a world')];
}

function onTick(state: WorkerState, nowMs: number): WorkerEffect[] {
  const { patienceMs, drainMs } = state.config;
  if (state.isLeaving && nowMs - state.leavingSinceMs > drainMs)
    return end(state, exitCodes.drained, `left at once: nobody let it go in ${drainMs / 1000} s`);
  const told = tellStatus(state);
  if (state.isWelcome) return told;
  if (nowMs - state.aloneSinceMs <= patienceMs) return told;
  const seconds = Math.round(patienceMs / 1000);
  return end(state, exitCodes.failed, `no coordinator could be reached for ${seconds} s`);
}

// What the worker reports of itself, and again to the next coordinator. Reports are kept until a
// checkpoint makes them needless, so that none is lost with a coordinator.

/** Reports kept; beyond, the oldest are dropped. */
const maxReports = 20_000;

/** Suspicions in a status: where more are lost, others report them. */
const maxSuspicions = 1_024;

/** The worker's status as of now; each has a greater sequence number than the one before. */
function nextStatus(state: WorkerState): WorkerStatus {
  state.sequence += 1;
  return {
    sequence: state.sequence,
    generation: state.world.generation,
    stage: state.stage as WorkerStage,
    step: state.step,
    hasState: state.hasState,
    activity: state.activity,
    isLeaving: state.isLeaving,
    suspicions: [...state.suspicions]
      .slice(0, maxSuspicions)
      .map(([worker, reason]) => ({ worker, reason })),
    trouble: state.trouble,
    obstacle: state.obstacle,
    pace: state.pace,
    fingerprint: state.fingerprint,
  };
}

/** The first message of a session: who this is, and the world it is in. */
function greet(state: WorkerState): Hello {
  const { worker, incarnation, address, lanes, socket, pid, host, allowsFaults } = state.config;
  const isInWorld = state.stage !== 'joining' && state.stage !== 'ready';
  return {
    kind: 'hello',
    protocol: protocolVersion,
    ...{ worker, incarnation, address, lanes, socket, pid, host, allowsFaults },
    term: state.term,
    run: state.run?.id ?? '',
    recordSha256: state.run?.recordSha256 ?? '',
    status: nextStatus(state),
    world: isInWorld ? state.world : noWorld,
  };
}

/** Keeps what a later coordinator must hear as well. */
function keepReport(state: WorkerState, message: WorkerMessage): void {
  switch (message.kind) {
    case 'stepReport':
    case 'evaluation':
    case 'partStored':
    case 'snapshot':
      state.reports.push(message);
      if (state.reports.length > maxReports) state.reports.shift();
      return;
    default:
      return;
  }
}

/** The kept reports, for a new session; only rank 0 reports steps. */
function reportsAgain(state: WorkerState): WorkerEffect[] {
  const isOurs = (report: KeptReport): boolean => report.kind !== 'stepReport' || state.rank === 0;
  return state.reports.filter(isOurs).map((message): WorkerEffect => ({ kind: 'send', message }));
}

/** Forgets what the checkpoint of `step` makes needless. */
function forgetReports(state: WorkerState, step: Step): void {
  state.reports = state.reports.filter((report) => report.step > step);
}

/** Forgets reports of steps above the state's: if it was set back, their files are gone. */
function forgetFuture(state: WorkerState): void {
  state.reports = state.reports.filter((report) => report.step <= state.step);
}
