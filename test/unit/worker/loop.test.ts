// Sums over subtrees against the tree folded leaf by leaf.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foldTree, type TreeNode } from '../../../shared/plan/reduction.js';
import { createSubtreeSum } from '../../../worker/training/loop.js';

/** Values whose order of addition shows in float32. */
const value = (leaf: number, i: number): number => Math.fround((leaf + 1) * 0.1 * 10 ** (i % 5));

test('a subtree is summed in the tree’s order, leaves from left to right', async () => {
  const sum = createSubtreeSum();
  // Another length each time, as phases have vectors of their own.
  for (const [node, floats] of [
    [{ start: 0, end: 1 }, 7],
    [{ start: 0, end: 6 }, 9],
    [{ start: 3, end: 16 }, 7],
  ] as [TreeNode, number][]) {
    const asked: number[] = [];
    // As the engine does it: always the same array.
    const vector = new Float32Array(floats);
    const out = new Float32Array(floats).fill(99);
    await sum(node, out, async (leaf) => {
      asked.push(leaf);
      vector.forEach((_, i) => (vector[i] = value(leaf, i)));
      return vector;
    });
    const leaves = Array.from({ length: node.end - node.start }, (_, i) => node.start + i);
    assert.deepEqual(asked, leaves);
    out.forEach((result, i) => {
      const known = ({ start, end }: TreeNode) => (end - start === 1 ? value(start, i) : undefined);
      assert.equal(
        result,
        foldTree(node, known, (a, b) => Math.fround(a + b)),
      );
    });
  }
});
