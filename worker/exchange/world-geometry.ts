// The numbers of a world that the core works with, checked: a mismatch here is a bug of the
// caller, found before anything is sent.

import { chunkFloats } from '../../shared/plan/reduction.js';
import type { ExchangeWorld } from './exchange.js';
import type { FoldPlan } from './fold-plan.js';
import type { CoreWorld } from './pulls.js';

/** The core's world; throws when vectors, ranks and plan do not fit each other. */
export function coreWorldOf(world: ExchangeWorld, plan: FoldPlan, heldBytes: number): CoreWorld {
  const { contributions, results, rank, microShards } = world;
  const { generation, members } = world.world;
  const capacity = results[0].length;
  if (members.length > microShards) {
    throw new Error(`${members.length} workers for ${microShards} micro-shards`);
  }
  if (contributions.length !== plan.heldBy[rank]?.length) {
    throw new Error(`${contributions.length} contributions of rank ${rank}`);
  }
  if ([...contributions, ...results].some((vector) => vector.length !== capacity)) {
    throw new Error('vectors of different lengths');
  }
  const foreign = plan.nodes.filter(({ holder }) => holder !== undefined && holder !== rank);
  const chunkBytes = 4 * chunkFloats * Math.max(1, foreign.length);
  const windowChunks = Math.max(1, Math.floor(heldBytes / chunkBytes));
  return { generation, rank, worldSize: members.length, plan, capacity, windowChunks };
}
