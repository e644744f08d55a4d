// Who may take part: the worker of a hello, in whose place, and computing with what.

import { protocolVersion, maxWorkers, type Hello } from '../../shared/control/messages.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { countOf, termOf, type Generation } from '../../shared/words.js';
import { hasOtherData } from './ending.js';
import { isReachable } from './liveness.js';
import { believe, isMember, noteMembers, noteTraining, worldProblem } from './roles.js';
import {
  isFree,
  notice,
  viewOf,
  workersOf,
  worldOf,
  type CoordinatorEffect,
  type CoordinatorState,
  type FormedWorld,
  type WaitingHello,
  type WorkerView,
} from './state.js';

/** Hellos that wait at a time. */
const maxWaiting = 64;

/** Decides on a hello: its worker is welcomed, refused with the reason, or has to wait. */
export function onHello(
  state: CoordinatorState,
  session: number,
  hello: Hello,
): CoordinatorEffect[] {
  const refusal = findRefusal(state, hello);
  if (refusal !== undefined) return refuse(state, session, hello.worker, refusal);
  const isLater = hello.term > state.config.term;
  if (!isLater && holderOf(state, hello) === undefined) return admit(state, session, hello);
  if (state.waiting.size >= maxWaiting)
    return refuse(state, session, hello.worker, 'too many workers wait to be let in');
  state.waiting.set(session, { session, hello, sinceMs: state.nowMs });
  return [];
}

/** The store is asked so often at most, whoever says whatever. */
const askMs = 1_000;

/** What is due to the hellos that wait: an answer, or a question to the store. */
export function answerWaiting(state: CoordinatorState): CoordinatorEffect[] {
  if (state.waiting.size === 0) return [];
  const answers = [...state.waiting.values()].flatMap((waiting): CoordinatorEffect[] => {
    const { session, hello, sinceMs } = waiting;
    if (isDoubtful(state, waiting)) return [];
    const holder = holderOf(state, hello);
    // What a dead process had sent may still come in for a while.
    const isProven = (holder?.heardMs ?? 0) - sinceMs > state.config.timing.heartbeatTimeoutMs;
    if (holder !== undefined && !isProven) return [];
    state.waiting.delete(session);
    if (holder === undefined) return admit(state, session, hello);
    return refuse(state, session, hello.worker, takenBy(holder));
  });
  const areDoubtful = [...state.waiting.values()].some((waiting) => isDoubtful(state, waiting));
  if (!areDoubtful || state.nowMs - state.askedMs < askMs) return answers;
  state.askedMs = state.nowMs;
  return [...answers, { kind: 'askForTerm' }];
}

/** The worker says that a later coordinator leads the run, which only the store can confirm. */
function isDoubtful({ config }: CoordinatorState, { hello }: WaitingHello): boolean {
  return hello.term > config.term;
}

/** The store knew of no later term: refuses the workers that had said before that there is one. */
export function refuseDoubtful(state: CoordinatorState, askedMs: number): CoordinatorEffect[] {
  const isRefuted = (waiting: WaitingHello): boolean =>
    isDoubtful(state, waiting) && waiting.sinceMs <= askedMs;
  return [...state.waiting.values()].filter(isRefuted).flatMap(({ session, hello }) => {
    state.waiting.delete(session);
    const reason =
      `it has heard of a coordinator of term ${hello.term}, and the store of this run of none ` +
      `after term ${state.config.term}`;
    return refuse(state, session, hello.worker, reason);
  });
}

/** Another process that has the worker's id and lives; a member's id is nobody else's. */
function holderOf(state: CoordinatorState, hello: Hello): WorkerView | undefined {
  const known = state.workers.get(hello.worker);
  if (known === undefined || isSameProcess(known, hello)) return undefined;
  if (isMember(state, hello) && !isMember(state, known)) return undefined;
  return isReachable(state, known) ? known : undefined;
}

function isSameProcess(known: WorkerView, { incarnation, pid, host }: Hello): boolean {
  return known.incarnation === incarnation && known.pid === pid && known.host === host;
}

function takenBy({ worker, pid, host }: WorkerView): string {
  const holder = `process ${pid} on ${host}`;
  return `${worker} is another process, which lives (${holder}): give each worker its own --id`;
}

function admit(state: CoordinatorState, session: number, hello: Hello): CoordinatorEffect[] {
  const { worker } = hello;
  const before = state.workers.get(worker);
  const others = workersOf(state).filter((view) => view.worker !== worker && view.hasTrained);
  const othersTrain = others.some((view) => isReachable(state, view));
  const effects: CoordinatorEffect[] = [{ kind: 'welcome', worker, session, othersTrain }];
  if (before?.session !== undefined && before.session !== session)
    effects.unshift(replaced(before, before.session, hello));
  const view = viewOfHello(state, hello, session);
  const admitted =
    before !== undefined && isSameProcess(before, hello)
      ? goOnWith(before, view)
      : { ...view, isDismissed: before?.isDismissed ?? false };
  state.workers.set(worker, admitted);
  if (state.savedStep !== undefined)
    effects.push({
      kind: 'send',
      worker,
      message: { kind: 'checkpointed', step: state.savedStep },
    });
  adoptWorld(state, hello);
  noteReadiness(state, admitted);
  noteTraining(state, admitted);
  return [...effects, ...refuseMixed(state, admitted)];
}

/** What is known of a process that has said hello again. */
function goOnWith(before: WorkerView, view: WorkerView): WorkerView {
  before.session = view.session;
  before.heardMs = view.heardMs;
  before.address = view.address;
  before.lanes = view.lanes;
  before.socket = view.socket;
  before.order = undefined;
  before.hasBeenMember ||= view.hasBeenMember;
  before.hasBeenFirst ||= view.hasBeenFirst;
  // A late hello must not set its status back.
  if (view.status.sequence > before.status.sequence) before.status = view.status;
  return before;
}

/** Since when the worker could be part of a world. */
export function noteReadiness({ nowMs }: CoordinatorState, view: WorkerView): void {
  view.readySinceMs = isFree(view) ? (view.readySinceMs ?? nowMs) : undefined;
}

/** Notices of refusals in a minute; what is beside them is counted. */
const refusalsTold = { most: 8, periodMs: 60_000 } as const;

function refuse(
  state: CoordinatorState,
  session: number,
  worker: string,
  reason: string,
): CoordinatorEffect[] {
  const dismissal = { kind: 'dismiss', session, exitCode: exitCodes.refused, reason } as const;
  const { refusals, nowMs } = state;
  const isOver = nowMs - refusals.sinceMs >= refusalsTold.periodMs;
  const untold = isOver ? Math.max(0, refusals.count - refusalsTold.most) : 0;
  if (isOver) Object.assign(refusals, { sinceMs: nowMs, count: 0 });
  refusals.count += 1;
  return [
    dismissal,
    ...(untold > 0 ? [notice(`${untold} more were refused in the minutes before`)] : []),
    ...(refusals.count > refusalsTold.most ? [] : [notice(`${worker} was refused: ${reason}`)]),
  ];
}

function replaced(
  before: WorkerView,
  session: number,
  { worker, incarnation }: Hello,
): CoordinatorEffect {
  if (before.incarnation === incarnation) {
    const reason = 'it has opened a newer session';
    return { kind: 'dismiss', session, exitCode: exitCodes.failed, reason };
  }
  const reason = `another process has joined as ${worker} after this one: give each its own --id`;
  return { kind: 'dismiss', session, exitCode: exitCodes.refused, reason };
}

function viewOfHello(state: CoordinatorState, hello: Hello, session: number): WorkerView {
  const { worker, incarnation, address, lanes, socket, pid, host, allowsFaults } = hello;
  const { world } = hello;
  const isKnown = isMember(state, hello);
  const hasBeenMember = isKnown || world.generation > 0;
  const firsts = [world.members[0], ...(isKnown ? [state.lastWorld?.members[0]] : [])];
  const status = believe(state, hasBeenMember, hello.status);
  return {
    ...{ worker, incarnation, address, lanes, socket, pid, host, allowsFaults, status, session },
    ...{
      hasTrained: false,
      hasBeenMember,
      hasBeenFirst: firsts.some((first) => first?.worker === worker),
    },
    ...{ heardMs: state.nowMs, readySinceMs: undefined, benchedUntilMs: 0 },
    ...{
      failure: undefined,
      mistake: undefined,
      order: undefined,
      isDiverged: false,
      isDismissed: false,
    },
  };
}

function findRefusal(state: CoordinatorState, hello: Hello): string | undefined {
  const { protocol, run, recordSha256, worker } = hello;
  const { config, workers } = state;
  if (protocol !== protocolVersion)
    return `it speaks protocol ${protocol}, this run ${protocolVersion}`;
  if (run !== '' && (run !== config.run || recordSha256 !== config.recordSha256))
    return (
      `it belongs to the run ${run} (record ${recordSha256.slice(0, 12)}), and this coordinator ` +
      `leads the run ${config.run} (record ${config.recordSha256.slice(0, 12)})`
    );
  if (hasOtherData(state, worker))
    return (
      'it has failed three times at samples that others read: its copy of the dataset is another ' +
      'one; see: lockstep dataset verify'
    );
  if (!workers.has(worker) && workers.size >= maxWorkers)
    return `this run has ${maxWorkers} workers, and takes no more`;
  return worldProblem(state, hello);
}

/**
 * Takes over the world that a worker reports, if it is an earlier coordinator's and the newest
 * heard of: its members go on undisturbed, and are judged like those of any other world.
 */
function adoptWorld(state: CoordinatorState, hello: Hello): void {
  const { generation, members, step, until } = hello.world;
  if (generation === 0) return;
  if (termOf(generation) === state.config.term) passOver(state, generation);
  if (termOf(generation) > state.config.term || state.formed > 0) return;
  const { stage } = state;
  const isOpen = stage.kind === 'gathering' || stage.kind === 'running';
  if (!isOpen || (stage.kind === 'running' && stage.world.generation >= generation)) return;
  const world = { generation, members, step, until };
  state.adoptedMs = state.nowMs;
  noteMembers(state, world);
  state.hasTrained = true;
  state.stage = { kind: 'running', world, sinceMs: state.nowMs, cutSinceMs: undefined };
}

/** Worlds that a coordinator may form before it sees that another one has taken its term. */
const worldsAhead = 1_024;

/** Nobody comes so far: a worker that says so must not use up our numbers. */
const mostPassedOver = 2 ** 19;

/**
 * A world with our term that we did not form: another coordinator had this term, and its file was
 * deleted. Our worlds get numbers above all that it may have given, so that they are told apart.
 */
function passOver(state: CoordinatorState, generation: Generation): void {
  const count = countOf(generation);
  const isOther = count > state.passedOver + state.formed;
  if (isOther && count < mostPassedOver) state.passedOver = count + worldsAhead;
}

/**
 * Lets a worker go that computes with something else than the others: it has loaded the run only
 * now, or it joins a coordinator that has just taken over. Who is in the world stays.
 */
export function refuseMixed(state: CoordinatorState, view: WorkerView): CoordinatorEffect[] {
  const others = view.status.fingerprint === '' ? [] : findOthers(state, view);
  if (others.length === 0) return [];
  const inWorld = new Set(worldOf(state)?.members.map((member) => viewOf(state, member)));
  const outside = inWorld.has(view) ? others.filter((other) => !inWorld.has(other)) : [];
  if (outside.length > 0) return outside.flatMap((other) => refuseOther(state, other, view));
  const [other] = others;
  return other === undefined ? [] : refuseOther(state, view, other);
}

function refuseOther(
  state: CoordinatorState,
  view: WorkerView,
  other: WorkerView,
): CoordinatorEffect[] {
  if (state.config.allowsMixed === true || view.session === undefined) return [];
  state.workers.delete(view.worker);
  const reason =
    `it computes with ${view.status.fingerprint}, ${other.worker} with ` +
    `${other.status.fingerprint}, which gives other bytes; ` +
    'engine.mixed: true in the spec allows it';
  return refuse(state, view.session, view.worker, reason);
}

/** Other workers that are there, or in the world, and compute with something else. */
function findOthers(state: CoordinatorState, view: WorkerView): WorkerView[] {
  const members = new Set(worldOf(state)?.members.map(({ worker }) => worker));
  return workersOf(state).filter(({ worker, session, status }) => {
    const counts = worker !== view.worker && status.fingerprint !== '';
    const isThere = session !== undefined || members.has(worker);
    return counts && isThere && status.fingerprint !== view.status.fingerprint;
  });
}

/** What a world computes with: one fingerprint, or with a spec that mixes them, all of them. */
export function fingerprintOf(
  state: CoordinatorState,
  members: FormedWorld['members'],
): string | undefined {
  const known = members.map((member) => viewOf(state, member)?.status.fingerprint ?? '');
  const distinct = [...new Set(known)].filter((fingerprint) => fingerprint !== '').sort();
  return distinct.length === 0 ? undefined : distinct.join(' + ');
}

/** Notes what a world that was just formed computes with; says so when it is something else. */
export function noteFingerprint(
  state: CoordinatorState,
  { members, step }: FormedWorld,
): CoordinatorEffect[] {
  const before = state.fingerprint;
  const now = fingerprintOf(state, members);
  state.fingerprint = now ?? before;
  if (before === undefined || now === undefined || now === before) return [];
  const text =
    `the run goes on from step ${step} with ${now}, and came there with ${before}: its bytes ` +
    'will be those of neither alone';
  return [notice(text)];
}
