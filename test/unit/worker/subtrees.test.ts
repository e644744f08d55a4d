// Sums over subtrees against the tree folded leaf by leaf.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foldTree, type TreeNode } from '../../../shared/plan/reduction.js';
import { createSubtreeSums } from '../../../worker/training/subtrees.js';

/** Values whose order of addition shows in float32. */
const value = (leaf: number, i: number): number => Math.fround((leaf + 1) * 0.1 * 10 ** (i % 5));

test('a subtree is summed in the tree’s order, leaves from left to right', async () => {
  const floats = 7;
  for (const node of [
    { start: 0, end: 1 },
    { start: 0, end: 6 },
    { start: 3, end: 16 },
  ] as TreeNode[]) {
    const asked: number[] = [];
    // As the engine does it: always the same array, longer than what is used.
    const vector = new Float32Array(floats);
    const out = new Float32Array(floats + 3).fill(99);
    const sums = createSubtreeSums(floats + 3);
    await sums.sum(node, floats, out, async (leaf) => {
      asked.push(leaf);
      vector.forEach((_, i) => (vector[i] = value(leaf, i)));
      return vector;
    });
    assert.deepEqual(
      asked,
      [...asked].sort((a, b) => a - b),
    );
    assert.equal(asked.length, node.end - node.start);
    for (let i = 0; i < floats; i++) {
      const leafValue = ({ start, end }: TreeNode) =>
        end - start === 1 ? value(start, i) : undefined;
      assert.equal(
        out[i],
        foldTree(node, leafValue, (a, b) => Math.fround(a + b)),
      );
    }
    assert.deepEqual([...out.subarray(floats)], [99, 99, 99]);
  }
});
