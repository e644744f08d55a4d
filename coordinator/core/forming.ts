// Forming a world: who can be in it, from which step it starts, and where each member takes the
// state from. A worker can finish step s only if all contributed to s, so those that are left are
// at s or s + 1; the world starts from the highest, and whoever is behind takes it from a peer.

import { generationOf, type Step } from '../../shared/words.js';
import type { CoordinatorMessage, StateSource } from '../../shared/control/messages.js';
import { noteFingerprint } from './fingerprints.js';
import { isReachable } from './liveness.js';
import { isFree, isLeaving } from './stages.js';
import type { CoordinatorEffect, CoordinatorState, FormedWorld, WorkerView } from './state.js';

/** Whether the worker could be part of the next world. */
export function isEligible(state: CoordinatorState, view: WorkerView, nowMs: number): boolean {
  return (
    isFree(view) &&
    !isLeaving(view) &&
    view.status.trouble === '' &&
    nowMs >= view.benchedUntilMs &&
    isReachable(state, view, nowMs)
  );
}

/** Workers that could be part of the next world, in the order of their names. */
export function findCandidates(state: CoordinatorState, nowMs: number): WorkerView[] {
  return [...state.workers.values()]
    .filter((view) => isEligible(state, view, nowMs))
    .sort((a, b) => byName(a.worker, b.worker));
}

/** The highest committed step that one of them has, in a state that is to be trusted. */
export function newestStepOf(views: readonly WorkerView[]): Step | undefined {
  const steps = views.filter(hasSoundState).map(({ status }) => status.step);
  return steps.length === 0 ? undefined : Math.max(...steps);
}

function hasSoundState({ status, isDiverged }: WorkerView): boolean {
  return status.hasState && !isDiverged;
}

/** Forms the next world of these candidates, at `step`, and tells them. */
export function formWorld(
  state: CoordinatorState,
  candidates: readonly WorkerView[],
  step: Step,
  reason: string,
  nowMs: number,
): CoordinatorEffect[] {
  const { microShards, until, term } = state.config;
  // Those that have the state come first when there are more than a world can have.
  const isUpToDate = (view: WorkerView): number => Number(sourceOf(view, step) === 'own');
  const chosen = [...candidates]
    .sort((a, b) => isUpToDate(b) - isUpToDate(a))
    .slice(0, microShards)
    .sort((a, b) => byName(a.worker, b.worker));
  state.formed += 1;
  const world: FormedWorld = {
    generation: generationOf(term, state.formed),
    members: chosen.map(({ worker, incarnation, address }, rank) => {
      return { rank, worker, incarnation, address };
    }),
    step,
    until,
  };
  state.stage = { kind: 'running', world, sinceMs: nowMs, cutSinceMs: undefined };
  state.digests.clear();
  state.coldStep = undefined;
  state.newestStep = Math.max(state.newestStep, step);
  for (const view of chosen) view.order = undefined;
  const notices = noteFingerprint(state, world);
  return [
    { kind: 'formed', world, fingerprint: state.fingerprint ?? 'unknown', reason },
    ...notices,
  ];
}

function sourceOf({ status, isDiverged }: WorkerView, step: Step): StateSource {
  return status.hasState && !isDiverged && status.step === step ? 'own' : 'peer';
}

/** What a member is told of its world: donors are spread over those that have the state. */
export function worldMessage(
  state: CoordinatorState,
  world: FormedWorld,
  view: WorkerView,
): CoordinatorMessage {
  const { generation, members, step, until } = world;
  const told = { kind: 'world', generation, members, step, until } as const;
  if (sourceOf(view, step) === 'own') return { ...told, source: 'own', donor: '' };
  const donors = members.filter(({ worker }) => {
    const other = state.workers.get(worker);
    return other !== undefined && other !== view && sourceOf(other, step) === 'own';
  });
  const rank = members.findIndex(({ worker }) => worker === view.worker);
  const donor = donors[rank % Math.max(1, donors.length)];
  if (donor === undefined) return { ...told, source: 'checkpoint', donor: '' };
  return { ...told, source: 'peer', donor: donor.address };
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
