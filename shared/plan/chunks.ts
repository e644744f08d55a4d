// How the flat vector of a step is cut into chunks, the unit of exchange, and who owns which.

import type { Rank } from '../words.js';
import { shareOf, type Range } from './shards.js';

/** Floats in a chunk: 1 MiB, the size at which gRPC on one connection is fastest. */
export const chunkFloats = 262_144;

/** Number of chunks of a vector of `floats` values. */
export function chunkCount(floats: number): number {
  return Math.ceil(floats / chunkFloats);
}

/** The floats of chunk `index`: [start, end); the last chunk may be shorter. */
export function chunkRange(index: number, floats: number): Range {
  return { start: index * chunkFloats, end: Math.min(floats, (index + 1) * chunkFloats) };
}

/** The chunks that `rank` owns (it finishes their sums): a contiguous range. */
export function ownedChunks(rank: Rank, worldSize: number, floats: number): Range {
  return shareOf(rank, worldSize, chunkCount(floats));
}
