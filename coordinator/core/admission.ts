// Who may take part: the worker of a hello, in whose place, and computing with what.

import { protocolVersion, type Hello } from '../../shared/control/messages.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { termOf } from '../../shared/words.js';
import { hasOtherData } from './ending.js';
import { isReachable } from './liveness.js';
import {
  notice,
  viewOf,
  workersOf,
  worldOf,
  type CoordinatorEffect,
  type CoordinatorState,
  type FormedWorld,
  type WorkerView,
} from './state.js';

/** Admits the worker of a hello, or refuses it with the reason. */
export function admitWorker(
  state: CoordinatorState,
  session: number,
  hello: Hello,
): CoordinatorEffect[] {
  const { worker, incarnation, status } = hello;
  const refusal = findRefusal(state, hello);
  if (refusal !== undefined) return refuse(session, worker, refusal);
  const before = state.workers.get(worker);
  const effects: CoordinatorEffect[] = [{ kind: 'welcome', worker }];
  if (before?.session !== undefined && before.session !== session)
    effects.unshift(replaced(before, before.session, hello));
  if (before?.incarnation === incarnation) {
    before.session = session;
    before.heardMs = state.nowMs;
    before.address = hello.address;
    before.order = undefined;
    // A late hello of the same process must not set its status back.
    if (status.sequence > before.status.sequence) before.status = status;
  } else {
    const isDismissed = before?.isDismissed ?? false;
    state.workers.set(worker, { ...viewOfHello(hello, session, state.nowMs), isDismissed });
  }
  if (state.savedStep !== undefined)
    effects.push({
      kind: 'send',
      worker,
      message: { kind: 'checkpointed', step: state.savedStep },
    });
  return effects;
}

function refuse(session: number, worker: string, reason: string): CoordinatorEffect[] {
  return [
    { kind: 'dismiss', session, exitCode: exitCodes.configuration, reason },
    notice(`${worker} was refused: ${reason}`),
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
  return { kind: 'dismiss', session, exitCode: exitCodes.configuration, reason };
}

function viewOfHello(hello: Hello, session: number, heardMs: number): WorkerView {
  const { worker, incarnation, address, pid, host, allowsFaults, status } = hello;
  return {
    ...{ worker, incarnation, address, pid, host, allowsFaults, status, session, heardMs },
    ...{ readySinceMs: undefined, benchedUntilMs: 0, failure: undefined, order: undefined },
    ...{ isDiverged: false, isDismissed: false },
  };
}

function findRefusal(state: CoordinatorState, hello: Hello): string | undefined {
  if (hello.protocol !== protocolVersion)
    return `it speaks protocol ${hello.protocol}, this run ${protocolVersion}`;
  if (hasOtherData(state, hello.worker))
    return (
      'it has failed three times at samples that others read: its copy of the dataset is another ' +
      'one; see: lockstep dataset verify'
    );
  const known = state.workers.get(hello.worker);
  // A process that has just started takes the place of its forerunner; one that comes back after
  // it was replaced does not. Incarnations are of different clocks: they differ, no more.
  const isOther = known !== undefined && known.incarnation !== hello.incarnation;
  return isOther && hello.status.generation > 0 && isReachable(state, known)
    ? `another process has joined as ${hello.worker}: give each its own --id`
    : undefined;
}

/**
 * Takes over the world that a worker reports, if it is an earlier coordinator's and the newest
 * heard of: its members go on undisturbed, and are judged like those of any other world.
 */
export function adoptWorld(state: CoordinatorState, hello: Hello): void {
  const { generation, members, step, until } = hello.world;
  const isEarlier = generation > 0 && termOf(generation) < state.config.term;
  if (!isEarlier || state.formed > 0) return;
  const { stage } = state;
  const isFree = stage.kind === 'gathering' || stage.kind === 'running';
  if (!isFree || (stage.kind === 'running' && stage.world.generation >= generation)) return;
  const world = { generation, members, step, until };
  state.adoptedMs = state.nowMs;
  state.stage = { kind: 'running', world, sinceMs: state.nowMs, cutSinceMs: undefined };
}

/**
 * Lets a worker go that computes with something else than the others: it has loaded the run only
 * now, or it joins a coordinator that has just taken over.
 */
export function refuseMixed(state: CoordinatorState, view: WorkerView): CoordinatorEffect[] {
  const { fingerprint } = view.status;
  const other = fingerprint === '' ? undefined : findOther(state, view);
  if (state.config.allowsMixed === true || other === undefined || view.session === undefined)
    return [];
  state.workers.delete(view.worker);
  const reason =
    `it computes with ${fingerprint}, ${other.worker} with ${other.status.fingerprint}, which ` +
    'gives other bytes; engine.mixed: true in the spec allows it';
  return refuse(view.session, view.worker, reason);
}

/** Another worker that is there, or in the world, and computes with something else. */
function findOther(state: CoordinatorState, view: WorkerView): WorkerView | undefined {
  const members = new Set(worldOf(state)?.members.map(({ worker }) => worker));
  return workersOf(state).find(({ worker, session, status }) => {
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
