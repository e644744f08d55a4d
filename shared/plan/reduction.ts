// Who computes and who adds up what, from arithmetic alone: the micro-shards (leaves) of a rank,
// and the canonical tree along which every sum is taken. The tree depends on M alone, so the order
// of float additions never depends on the number of workers.

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

/** The leaves of a range, in order. */
export function leavesOf(range: Range): Leaf[] {
  return Array.from({ length: range.end - range.start }, (_, i) => range.start + i);
}

/** A subtree, named by the leaves under it: [start, end). */
export interface TreeNode {
  readonly start: Leaf;
  readonly end: Leaf;
}

/** The two children of an inner node: the left one holds the larger half, rounded up. */
export function children(node: TreeNode): [TreeNode, TreeNode] {
  const middle = node.start + Math.ceil((node.end - node.start) / 2);
  return [
    { start: node.start, end: middle },
    { start: middle, end: node.end },
  ];
}

/** The largest subtrees that lie wholly inside `range`, from left to right. */
export function subtreesInside(range: Range, leaves: number): TreeNode[] {
  const visit = (node: TreeNode): TreeNode[] => {
    if (node.end <= range.start || node.start >= range.end) return [];
    if (node.start >= range.start && node.end <= range.end) return [node];
    return children(node).flatMap(visit);
  };
  return visit({ start: 0, end: leaves });
}

/**
 * Folds a subtree: `leaf` gives the value of each node in `known` (matched by its range), and
 * `add` joins two children. Throws when a leaf of the tree is neither known nor divisible.
 */
export function foldTree<T>(
  node: TreeNode,
  known: (node: TreeNode) => T | undefined,
  add: (left: T, right: T) => T,
): T {
  const value = known(node);
  if (value !== undefined) return value;
  if (node.end - node.start <= 1) throw new Error(`leaf ${node.start} has no value`);
  const [left, right] = children(node);
  return add(foldTree(left, known, add), foldTree(right, known, add));
}
