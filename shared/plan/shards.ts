// Which micro-shards (leaves) a rank computes: a contiguous range, from arithmetic alone.

import type { Leaf, Rank } from '../words.js';

/** Half-open range [start, end). */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * The contiguous share of `count` items that `rank` of `worldSize` holds:
 * [floor(r * count / N), floor((r + 1) * count / N)). Shares differ by at most one item.
 */
export function shareOf(rank: Rank, worldSize: number, count: number): Range {
  return {
    start: Math.floor((rank * count) / worldSize),
    end: Math.floor(((rank + 1) * count) / worldSize),
  };
}

/** The rank whose share holds item `index`; the inverse of `shareOf`. */
export function ownerOf(index: number, worldSize: number, count: number): Rank {
  return Math.floor(((index + 1) * worldSize - 1) / count);
}

/** The leaves of a range, in order. */
export function leavesOf(range: Range): Leaf[] {
  return Array.from({ length: range.end - range.start }, (_, i) => range.start + i);
}
