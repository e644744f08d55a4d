// All workers of a world have the same state, to the last bit; each tells a digest of it now and
// then. Where they differ, somebody's memory or kernels are at fault. Its gradients went into
// everybody's state since, so all go back to the newest checkpoint, which was of a state that all
// had; who differs from most is named, and stays out when it happens again.

import type { DigestReport } from '../../shared/control/messages.js';
import type { Step } from '../../shared/words.js';
import type { CoordinatorEffect, CoordinatorState, FormedWorld } from './state.js';
import { halt } from './stages.js';

/** Steps of which digests are compared at a time; older ones are forgotten. */
const maxSteps = 16;

/** A worker whose state differs for the second time stays out for so long. */
const exileMs = 3_600_000;

/** Notes a digest of a step and compares it once all members have told theirs. */
export function compareDigest(
  state: CoordinatorState,
  worker: string,
  { generation, step, value }: DigestReport,
  nowMs: number,
): CoordinatorEffect[] {
  const { stage } = state;
  if (stage.kind !== 'running' || stage.world.generation !== generation) return [];
  const told = state.digests.get(step) ?? new Map<string, string>();
  state.digests.set(step, told.set(worker, value));
  while (state.digests.size > maxSteps) state.digests.delete(Math.min(...state.digests.keys()));
  if (told.size < stage.world.members.length) return [];
  state.digests.delete(step);
  return judge(state, stage.world, step, told, nowMs);
}

/** Sends all back to the newest checkpoint if the digests of `step` differ. */
export function judge(
  state: CoordinatorState,
  world: FormedWorld,
  step: Step,
  told: ReadonlyMap<string, string>,
  nowMs: number,
): CoordinatorEffect[] {
  const majority = findMajority([...told.values()]);
  const odd = [...told].filter(([, value]) => value !== majority).map(([worker]) => worker);
  if (odd.length === 0) return [];
  for (const view of state.workers.values()) if (view.status.hasState) view.isDiverged = true;
  const exiled = majority === undefined ? [] : odd.filter((worker) => exile(state, worker, nowMs));
  const names = [...odd].sort().join(', ');
  const who = majority === undefined ? `${names} differ` : `${names} differs from the others`;
  const out =
    exiled.length === 0 ? '' : `, without ${exiled.join(', ')}, for it is not the first time`;
  const text = `the state after step ${step}: ${who}; all go back to the newest checkpoint${out}`;
  halt(state, world, 'abort', text, nowMs);
  return [{ kind: 'notice', text }];
}

function exile(state: CoordinatorState, worker: string, nowMs: number): boolean {
  const times = (state.oddities.get(worker) ?? 0) + 1;
  state.oddities.set(worker, times);
  const view = state.workers.get(worker);
  if (times < 2 || view === undefined) return false;
  view.benchedUntilMs = nowMs + exileMs;
  return true;
}

/** The value that more than half have. */
function findMajority(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].find(([, count]) => 2 * count > values.length)?.[0];
}
