// All workers of a world have the same state, to the last bit; each tells a digest of it now and
// then. One that differs has a fault (a flipped bit in memory, say): it is named and takes the
// state anew. Where no majority says what is right, all go back to the newest checkpoint.

import type { DigestReport } from '../../shared/control/messages.js';
import type { CoordinatorEffect, CoordinatorState, FormedWorld } from './state.js';
import { halt } from './stages.js';

/** Steps of which digests are compared at a time; older ones are forgotten. */
const maxSteps = 16;

/** Notes a digest and compares it once all members have told theirs. */
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

function judge(
  state: CoordinatorState,
  world: FormedWorld,
  step: number,
  told: ReadonlyMap<string, string>,
  nowMs: number,
): CoordinatorEffect[] {
  const majority = findMajority([...told.values()]);
  const odd = [...told].filter(([, value]) => value !== majority).map(([worker]) => worker);
  if (odd.length === 0) return [];
  for (const worker of odd) {
    const view = state.workers.get(worker);
    if (view !== undefined) view.isDiverged = true;
  }
  const names = [...odd].sort().join(', ');
  const what =
    majority === undefined
      ? `no two halves agree (${names}): all go back to the newest checkpoint`
      : `${names} differs from the others and takes the state anew`;
  const text = `the state after step ${step}: ${what}`;
  halt(state, world, 'abort', text, nowMs);
  return [{ kind: 'notice', text }];
}

/** The value that more than half have. */
function findMajority(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].find(([, count]) => 2 * count > values.length)?.[0];
}
