// Sums over the subtrees of this worker's share, along the canonical tree: leaves are computed
// one after the other, from left to right, and joined as soon as both sides are there.

import { children, type TreeNode } from '../../shared/plan/reduction.js';

/** Computes one leaf's vector, always into the same array, of which it fills the head. */
export type ComputeLeaf = (leaf: number) => Promise<Float32Array>;

/** Adds up subtrees; keeps one scratch vector for each level at which it needs one. */
export interface SubtreeSums {
  /** The float32 sum over the leaves of `node` in the tree's order, in the head of `out`. */
  sum(node: TreeNode, floats: number, out: Float32Array, compute: ComputeLeaf): Promise<void>;
}

/** Creates the sums; scratch vectors of `capacity` floats are made when first needed. */
export function createSubtreeSums(capacity: number): SubtreeSums {
  const scratch: Float32Array[] = [];
  const visit = async (
    node: TreeNode,
    floats: number,
    out: Float32Array,
    compute: ComputeLeaf,
    depth: number,
  ): Promise<void> => {
    if (isLeaf(node)) return out.set((await compute(node.start)).subarray(0, floats));
    const [left, right] = children(node);
    await visit(left, floats, out, compute, depth);
    // A leaf is added where it was computed; only a larger right side needs a place of its own.
    if (isLeaf(right)) return addInto(out, await compute(right.start), floats);
    const side = (scratch[depth] ??= new Float32Array(capacity));
    await visit(right, floats, side, compute, depth + 1);
    addInto(out, side, floats);
  };
  return { sum: (node, floats, out, compute) => visit(node, floats, out, compute, 0) };
}

function isLeaf({ start, end }: TreeNode): boolean {
  return end - start === 1;
}

/** out[i] = float32(out[i] + side[i]) for the first `floats` values. */
export function addInto(out: Float32Array, side: Float32Array, floats: number): void {
  for (let i = 0; i < floats; i++) out[i] += side[i];
}
