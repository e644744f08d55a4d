// A world that is there: what makes it halt. Losses and cut links halt it at once (abort); what
// can wait for the end of the step, newcomers and leavers, halts it by a vote.

import { termOf } from '../../shared/words.js';
import type {
  CoordinatorEffect,
  CoordinatorState,
  FormedWorld,
  Stage,
  WorkerView,
} from './state.js';
import { isEligible } from './forming.js';
import {
  findCutLinks,
  findLosses,
  isTraining,
  noteCutLinks,
  tellLosses,
  viewOf,
  type Accusation,
} from './liveness.js';
import { nobodyCame } from './gathering.js';
import { end, halt, isFree, isLeaving } from './stages.js';

type Running = Stage & { readonly kind: 'running' };

/** Halts the world if something asks for it; gives what has to be told. */
export function watchWorld(
  state: CoordinatorState,
  stage: Running,
  nowMs: number,
): CoordinatorEffect[] {
  const { world } = stage;
  if (isDeserted(state, stage, nowMs)) return end(state, nobodyCame(state));
  if (isJustAdopted(state, stage, nowMs)) return [];
  const losses = findLosses(state, world, stage.sinceMs, nowMs);
  if (losses.length > 0) {
    const lost = losses.map(({ worker }) => worker);
    halt(state, world, 'abort', losses.map(describe).join('; '), nowMs, lost);
    return tellLosses(losses, world);
  }
  return watchLinks(state, stage, nowMs) ?? watchWishes(state, stage, nowMs);
}

/** Nobody has been heard for so long that nobody can be expected back. */
function isDeserted(state: CoordinatorState, { world, sinceMs }: Running, nowMs: number): boolean {
  const heardMs = world.members.map((member) => viewOf(state, member)?.heardMs ?? sinceMs);
  return nowMs - Math.max(sinceMs, ...heardMs) > state.config.timing.joinTimeoutMs;
}

/** A world of an earlier term: its members, or those of a later one, may be about to come back. */
function isJustAdopted(state: CoordinatorState, stage: Running, nowMs: number): boolean {
  const { term, timing } = state.config;
  const isEarlier = termOf(stage.world.generation) < term;
  return isEarlier && nowMs - stage.sinceMs < timing.heartbeatTimeoutMs;
}

function describe({ worker, reason }: { worker: string; reason: string }): string {
  return `${worker} was lost: ${reason}`;
}

function watchLinks(
  state: CoordinatorState,
  stage: Running,
  nowMs: number,
): CoordinatorEffect[] | undefined {
  const links = findCutLinks(state, stage.world, nowMs);
  if (links.length === 0) {
    stage.cutSinceMs = undefined;
    return undefined;
  }
  stage.cutSinceMs ??= nowMs;
  if (nowMs - stage.cutSinceMs < state.config.timing.linkTimeoutMs) return undefined;
  return dialAnew(state, stage.world, links, nowMs);
}

/** Gives a world up whose members can't reach one another; `links` are those that are cut. */
export function dialAnew(
  state: CoordinatorState,
  world: FormedWorld,
  links: readonly Accusation[],
  nowMs: number,
): CoordinatorEffect[] | undefined {
  const [first] = links;
  if (first === undefined) return undefined;
  const benched = noteCutLinks(state, links, nowMs);
  const left = benched === undefined ? 'dialling anew' : `${benched} stays out for a while`;
  const { witness, suspect, reason } = first;
  const text = `${witness} can't reach ${suspect}, which is heard: ${reason}; ${left}`;
  halt(state, world, 'abort', text, nowMs);
  return [{ kind: 'notice', text }];
}

/** Why the world should end after a step, or at once where nobody takes steps yet. */
function watchWishes(
  state: CoordinatorState,
  { world }: Running,
  nowMs: number,
): CoordinatorEffect[] {
  const views = world.members.map((member) => viewOf(state, member));
  const trainAll = views.every((view) => view !== undefined && isTraining(view, world));
  const halted = views.find((view) => view?.status.generation === world.generation && isFree(view));
  const leaving = views.filter((view) => view !== undefined && isLeaving(view));
  const mode = trainAll ? 'vote' : 'abort';
  const notices = benchObstructed(state, world, views, nowMs);
  if (state.ending !== undefined) halt(state, world, 'abort', state.ending.reason, nowMs);
  else if (halted !== undefined)
    // It has seen the vote or the last step; so will the others, unless it could not enter.
    halt(state, world, halted.status.step > world.step ? 'vote' : mode, 'a worker halted', nowMs);
  else if (state.stopReason !== undefined) halt(state, world, mode, state.stopReason, nowMs);
  else if (leaving.length > 0)
    halt(state, world, mode, `${leaving.map((view) => view?.worker).join(', ')} leaves`, nowMs);
  else if (trainAll) admitNewcomers(state, world, nowMs);
  return notices;
}

/** Who could not enter stays out for a moment, lest world follows world without a pause. */
function benchObstructed(
  state: CoordinatorState,
  world: FormedWorld,
  views: readonly (WorkerView | undefined)[],
  nowMs: number,
): CoordinatorEffect[] {
  return views.flatMap((view): CoordinatorEffect[] => {
    if (view === undefined || view.status.generation !== world.generation) return [];
    if (view.status.obstacle === '') return [];
    view.benchedUntilMs = nowMs + state.config.timing.obstacleMs;
    const text = `${view.worker} could not take the state: ${view.status.obstacle}`;
    return [{ kind: 'notice', text }];
  });
}

/** Several that come together cost the others one pause. */
function admitNewcomers(state: CoordinatorState, world: FormedWorld, nowMs: number): void {
  if (world.members.length >= state.config.microShards) return;
  const isMember = new Set(world.members.map(({ worker }) => worker));
  const newcomers = [...state.workers.values()].filter(
    (view) => !isMember.has(view.worker) && isEligible(state, view, nowMs),
  );
  if (newcomers.length === 0) return;
  const waitedMs = nowMs - Math.min(...newcomers.map((view) => view.readySinceMs ?? nowMs));
  const areMoreComing = [...state.workers.values()].some(
    (view) => view.session !== undefined && view.status.stage === 'joining',
  );
  const { batchMs } = state.config.timing;
  if (waitedMs < (areMoreComing ? 10 * batchMs : batchMs)) return;
  const names = newcomers.map(({ worker }) => worker).join(', ');
  halt(state, world, 'vote', `${names} joins`, nowMs);
}
