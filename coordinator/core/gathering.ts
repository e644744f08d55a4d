// Joining: workers are admitted until the world is full; then it is formed, once.

import { exitCodes } from '../../shared/exit-codes.js';
import { protocolVersion, type Hello } from '../../shared/control/messages.js';
import type { World } from '../../shared/words.js';
import type { CoordinatorEffect, CoordinatorState, WorkerView } from './state.js';
import type { Decision } from './transition.js';

/** Admits a worker or refuses it with the reason; forms the world when it is full. */
export function admit(state: CoordinatorState, hello: Hello, nowMs: number): Decision {
  const refusal = refuse(state, hello);
  if (refusal !== undefined) {
    // Too late is no mistake of the operator's: the same worker may be welcome in another world.
    const isLate = state.stage.kind !== 'gathering';
    const exitCode = isLate ? exitCodes.failed : exitCodes.configuration;
    const message = { kind: 'end', exitCode, reason: refusal } as const;
    return {
      state,
      effects: [
        { kind: 'send', worker: hello.worker, message },
        { kind: 'notice', text: `${hello.worker} was refused: ${refusal}` },
      ],
    };
  }
  const { worker, incarnation, address, fingerprint } = hello;
  const member = { worker, incarnation, address };
  const step = state.config.startStep;
  const view: WorkerView = {
    member,
    fingerprint,
    heardMs: nowMs,
    step,
    isPrepared: false,
    isHalted: false,
  };
  const workers = new Map(state.workers).set(worker, view);
  const joined: CoordinatorEffect[] = [{ kind: 'welcome', worker }];
  if (workers.size < state.config.worldSize)
    return { state: { ...state, workers }, effects: joined };
  return form({ ...state, workers }, joined);
}

function refuse(state: CoordinatorState, hello: Hello): string | undefined {
  if (hello.protocol !== protocolVersion)
    return `it speaks protocol ${hello.protocol}, this run ${protocolVersion}: use one version`;
  if (state.stage.kind !== 'gathering') return 'the world is formed already';
  if (state.workers.has(hello.worker)) return `a worker named ${hello.worker} has joined already`;
  const other = [...state.workers.values()][0];
  if (other !== undefined && other.fingerprint !== hello.fingerprint)
    return `it computes with ${hello.fingerprint}, the others with ${other.fingerprint}`;
  return undefined;
}

function form(state: CoordinatorState, before: readonly CoordinatorEffect[]): Decision {
  const views = [...state.workers.values()].sort((a, b) =>
    byName(a.member.worker, b.member.worker),
  );
  const members = views.map((view, rank) => ({ rank, ...view.member }));
  const world: World = { generation: 1, members };
  const { startStep, until } = state.config;
  const message = { kind: 'world', ...world, members, step: startStep, until } as const;
  const sends = members.map(({ worker }): CoordinatorEffect => ({ kind: 'send', worker, message }));
  return {
    state: { ...state, stage: { kind: 'running', world } },
    effects: [...before, { kind: 'formed', world }, ...sends],
  };
}

/** Orders worker ids by their text, numbers in them by value: worker-2 before worker-10. */
export function byName(a: string, b: string): number {
  const parts = (name: string): string[] => name.split(/(\d+)/);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [x, y] = [left[i] ?? '', right[i] ?? ''];
    if (x === y) continue;
    const numeric = i % 2 === 1 ? Number(x) - Number(y) : 0;
    return numeric !== 0 ? numeric : x < y ? -1 : 1;
  }
  return left.length - right.length;
}
