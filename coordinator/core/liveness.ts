// Who can be reached, and who is dead. A death in a training world needs two witnesses: the
// coordinator, which hears nothing, and a peer that can't reach the worker either. A worker that
// only the coordinator can't hear goes on; one that only a peer can't reach has a cut link.

import type { Member } from '../../shared/words.js';
import {
  viewOf,
  workersOf,
  type CoordinatorEffect,
  type CoordinatorState,
  type FormedWorld,
  type WorkerView,
} from './state.js';

/** Why a member is taken out of its world, and since when nothing was heard of it. */
type Loss = CoordinatorEffect & { readonly kind: 'lost' };

/** Whether the worker has a session that speaks. */
export function isReachable(state: CoordinatorState, view: WorkerView): boolean {
  const { heartbeatTimeoutMs } = state.config.timing;
  return view.session !== undefined && state.nowMs - view.heardMs <= heartbeatTimeoutMs;
}

/** Whether a member of a world that was taken over may yet be looking for its new coordinator. */
export function isOnItsWay(state: CoordinatorState, { worker }: Member): boolean {
  const { adoptedMs, nowMs, workers, config } = state;
  if (adoptedMs === undefined || workers.has(worker)) return false;
  return nowMs - adoptedMs <= config.timing.returnMs;
}

/** How long a worker that can't be heard may yet come back: not as long if its session ended. */
export function longestSilenceMs(state: CoordinatorState, view: WorkerView | undefined): number {
  const { goneTimeoutMs, heartbeatTimeoutMs } = state.config.timing;
  const hasEnded = view !== undefined && view.session === undefined;
  return hasEnded ? heartbeatTimeoutMs : goneTimeoutMs;
}

/** Whether the worker's last status says that it trains in this world. */
export function isTraining(view: WorkerView, world: FormedWorld): boolean {
  return view.status.generation === world.generation && view.status.stage === 'training';
}

/**
 * The members of a running world that are dead; `sinceMs`: since when the world stands. One that
 * does nothing is as good as dead, and stays out for a while.
 */
export function findLosses(state: CoordinatorState, world: FormedWorld, sinceMs: number): Loss[] {
  const { generation } = world;
  const accused = describeAccusations(state, world);
  return world.members.flatMap((member): Loss[] => {
    const { worker } = member;
    const lose = (reason: string, silentMs = 0): Loss[] => {
      return [{ kind: 'lost', worker, reason, generation, silentMs }];
    };
    const view = viewOf(state, member);
    if (view === undefined && state.workers.has(worker))
      return lose('its process was started again');
    if (view?.failure !== undefined) return lose(view.failure);
    if (view !== undefined && isIdle(state, view, world, sinceMs)) {
      view.benchedUntilMs = state.nowMs + state.config.timing.benchMs;
      return lose('it is ready, and does not enter');
    }
    if (view === undefined ? isOnItsWay(state, member) : isReachable(state, view)) return [];
    const silentMs = state.nowMs - (view?.heardMs ?? state.adoptedMs ?? sinceMs);
    const reason = reasonOfLoss(state, world, view, silentMs, accused.get(worker));
    return reason === undefined ? [] : lose(reason, silentMs);
  });
}

/** A worker that was free begins to enter as soon as it is told, before it does anything else. */
function isIdle(
  { nowMs, config }: CoordinatorState,
  { status }: WorkerView,
  { generation }: FormedWorld,
  sinceMs: number,
): boolean {
  const isFree = status.stage === 'ready' && status.generation < generation;
  return isFree && nowMs - sinceMs > config.timing.enterMs;
}

function reasonOfLoss(
  state: CoordinatorState,
  world: FormedWorld,
  view: WorkerView | undefined,
  silentMs: number,
  accusation: string | undefined,
): string | undefined {
  const hasEnded = view !== undefined && view.session === undefined;
  const silence = `it was silent for ${(silentMs / 1000).toFixed(1)} s`;
  const own = hasEnded ? 'its session ended' : silence;
  if (accusation !== undefined) return `${own}, and ${accusation}`;
  if (silentMs <= longestSilenceMs(state, view)) return undefined;
  // Without streams between them no peer can be a witness.
  const trains = view === undefined ? hasWitness(state, world) : isTraining(view, world);
  if (!trains) return `${own}, before it trained`;
  const isAlone = world.members.length === 1;
  const isReplaceable = workersOf(state).some(
    (other) => other !== view && isReachable(state, other) && other.status.stage === 'ready',
  );
  return isAlone && isReplaceable ? `${own}, and another worker is there` : undefined;
}

/** Whether a member trains, or connects, and would report a peer that it can't reach. */
function hasWitness(state: CoordinatorState, world: FormedWorld): boolean {
  return world.members.some((member) => {
    const status = viewOf(state, member)?.status;
    if (status?.generation !== world.generation) return false;
    return status.stage === 'training' || status.stage === 'connecting';
  });
}

/** What a member says of another that it can't reach. */
interface Accusation {
  readonly witness: string;
  readonly suspect: string;
  readonly reason: string;
}

/** What members of this world that are heard say of others, in the order of their ranks. */
function listAccusations(state: CoordinatorState, world: FormedWorld): Accusation[] {
  const names = new Set(world.members.map(({ worker }) => worker));
  return world.members.flatMap((member): Accusation[] => {
    const view = viewOf(state, member);
    if (view === undefined || !isReachable(state, view)) return [];
    if (view.status.generation !== world.generation) return [];
    const witness = member.worker;
    return view.status.suspicions.flatMap(({ worker, reason }) => {
      return names.has(worker) && worker !== witness ? [{ witness, suspect: worker, reason }] : [];
    });
  });
}

/** The first accusation of each, in words. */
function describeAccusations(state: CoordinatorState, world: FormedWorld): Map<string, string> {
  const accused = new Map<string, string>();
  for (const { witness, suspect, reason } of listAccusations(state, world))
    if (!accused.has(suspect)) accused.set(suspect, `${witness} can't reach it: ${reason}`);
  return accused;
}

/** The links of a running world that peers say are cut although both ends are heard. */
export function findCutLinks(state: CoordinatorState, world: FormedWorld): Accusation[] {
  return listAccusations(state, world).filter((accusation) => {
    const suspect = state.workers.get(accusation.suspect);
    return suspect !== undefined && isReachable(state, suspect);
  });
}

/** A link that is cut again within so many times `benchMs` is not dialled for a third time. */
const memory = 4;

/**
 * Notes cut links. The new world dials them anew; but if some were cut before, the worker with
 * most of those (of equals the last by name) stays out of worlds for `benchMs`: gives its id.
 */
export function noteCutLinks(
  state: CoordinatorState,
  links: readonly Accusation[],
): string | undefined {
  const { nowMs } = state;
  const { benchMs } = state.config.timing;
  const counts = new Map<string, number>();
  for (const { witness, suspect } of links) {
    const key = [witness, suspect].sort().join(' ');
    const beforeMs = state.cutLinks.get(key);
    state.cutLinks.set(key, nowMs);
    if (beforeMs === undefined || nowMs - beforeMs > memory * benchMs) continue;
    for (const worker of [witness, suspect]) counts.set(worker, (counts.get(worker) ?? 0) + 1);
  }
  for (const [key, ms] of state.cutLinks)
    if (nowMs - ms > memory * benchMs) state.cutLinks.delete(key);
  const [worst] = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? 1 : -1));
  const view = worst === undefined ? undefined : state.workers.get(worst[0]);
  if (view === undefined) return undefined;
  view.benchedUntilMs = nowMs + benchMs;
  return view.worker;
}
