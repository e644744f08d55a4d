// Sessions: who is admitted, who takes the place of whom, and what a coordinator that has just
// started learns from a worker that has been training all the while.

import { exitCodes, type ExitCode } from '../../shared/exit-codes.js';
import { protocolVersion, type Hello } from '../../shared/control/messages.js';
import { termOf } from '../../shared/words.js';
import { isReachable } from './liveness.js';
import type { CoordinatorEffect, CoordinatorState, WorkerView } from './state.js';

/** Admits the worker of a hello, or refuses it with the reason. */
export function admit(
  state: CoordinatorState,
  session: number,
  hello: Hello,
  nowMs: number,
): CoordinatorEffect[] {
  const refusal = refuse(state, hello, nowMs);
  if (refusal !== undefined) {
    const { exitCode, reason } = refusal;
    return [
      { kind: 'dismiss', session, exitCode, reason },
      { kind: 'notice', text: `${hello.worker} was refused: ${reason}` },
    ];
  }
  const before = state.workers.get(hello.worker);
  const effects: CoordinatorEffect[] = [{ kind: 'welcome', worker: hello.worker }];
  if (before?.session !== undefined && before.session !== session)
    effects.unshift(replaced(before, hello));
  if (before?.incarnation === hello.incarnation) {
    before.session = session;
    before.heardMs = nowMs;
    before.address = hello.address;
    before.order = undefined;
    // A late hello of the same process must not set its status back.
    if (hello.status.sequence > before.status.sequence) before.status = hello.status;
  } else {
    const view = viewOfHello(session, hello, nowMs);
    view.isDismissed = before?.isDismissed ?? false;
    state.workers.set(hello.worker, view);
  }
  if (state.savedStep !== undefined) {
    const message = { kind: 'checkpointed', step: state.savedStep } as const;
    effects.push({ kind: 'send', worker: hello.worker, message });
  }
  return effects;
}

function replaced(before: WorkerView, hello: Hello): CoordinatorEffect {
  const isSame = before.incarnation === hello.incarnation;
  return {
    kind: 'dismiss',
    session: before.session ?? 0,
    exitCode: isSame ? exitCodes.failed : exitCodes.configuration,
    reason: isSame
      ? 'it has opened a newer session'
      : `another process has joined as ${hello.worker} after this one: give each its own --id`,
  };
}

function viewOfHello(session: number, hello: Hello, nowMs: number): WorkerView {
  const { worker, incarnation, address, pid, host, allowsFaults, status } = hello;
  return {
    ...{ worker, incarnation, address, pid, host, allowsFaults, status, session },
    heardMs: nowMs,
    readySinceMs: undefined,
    benchedUntilMs: 0,
    isDiverged: false,
    failure: undefined,
    isDismissed: false,
    order: undefined,
  };
}

function refuse(
  state: CoordinatorState,
  hello: Hello,
  nowMs: number,
): { exitCode: ExitCode; reason: string } | undefined {
  const mistake = (reason: string) => ({ exitCode: exitCodes.configuration, reason });
  if (hello.protocol !== protocolVersion)
    return mistake(`it speaks protocol ${hello.protocol}, this run ${protocolVersion}`);
  const known = state.workers.get(hello.worker);
  // A process that has just started takes the place of its forerunner; one that comes back after
  // it was replaced does not. Incarnations are of different clocks: they tell apart, no more.
  const isOther = known !== undefined && known.incarnation !== hello.incarnation;
  if (isOther && hello.status.generation > 0 && isReachable(state, known, nowMs))
    return mistake(`another process has joined as ${hello.worker}: give each its own --id`);
  return undefined;
}

/**
 * Takes over the world that a worker tells of, if it is an earlier coordinator's and the newest
 * heard of: its members go on undisturbed, and are judged like those of any other world.
 */
export function adoptWorld(state: CoordinatorState, hello: Hello, nowMs: number): void {
  const { generation, members, step, until } = hello.world;
  const isEarlier = generation > 0 && termOf(generation) < state.config.term;
  if (!isEarlier || state.formed > 0) return;
  const { stage } = state;
  const isFree = stage.kind === 'gathering' || stage.kind === 'running';
  if (!isFree || (stage.kind === 'running' && stage.world.generation >= generation)) return;
  const world = { generation, members, step, until };
  state.stage = { kind: 'running', world, sinceMs: nowMs, cutSinceMs: undefined };
}
