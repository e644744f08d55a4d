// Sums over subtrees against the tree folded leaf by leaf, in both precisions; which leaves may
// overflow; and where factors lie.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLayout } from '../../../shared/layout.js';
import { foldTree, type TreeNode } from '../../../shared/plan/reduction.js';
import { placesOf, type ExchangePrecision } from '../../../shared/plan/step-vector.js';
import { ExchangeMemory } from '../../../worker/exchange/memory.js';
import type { StepPlan } from '../../../worker/training/step-plan.js';
import { createStepVectors, createWorkspace } from '../../../worker/training/step-vectors.js';

/** Two votes and a statistic, so many gradients, and a product of factors of 2 x 3 and 2 x 5. */
function planOf(gradients: number): StepPlan {
  return {
    vector: {
      layout: createLayout([
        { name: 'exact', shape: [3] },
        { name: 'gradients', shape: [gradients] },
        { name: 'p/left', shape: [2, 3] },
        { name: 'p/right', shape: [2, 5] },
      ]),
      ...{ shape: { exact: 3, gradients, factors: 16 }, vote: 0, notFinite: 1 },
      ...{ statistics: { start: 2, end: 3 }, metrics: { start: 3, end: 3 } },
    },
    update: {
      ...{ networks: [], statistics: [] },
      products: [{ name: 'p', rows: 32, left: 3, right: 5 }],
    },
  };
}

/** Values whose order of addition shows in float32, and in bfloat16. */
const value = (leaf: number, i: number): number => Math.fround((leaf + 1) * 0.1 * 10 ** (i % 5));

function vectorOf(plan: StepPlan, leaf: number): Float32Array {
  const { layout } = plan.vector;
  return Float32Array.from({ length: layout.size }, (_, i) => value(leaf, i));
}

const microShards = 16;

function world(precision: ExchangePrecision, longest = 40_000) {
  const memory = new ExchangeMemory();
  const shape = { exact: 3, gradients: longest, factors: 16 };
  const { contributionBytes, resultBytes } = placesOf(shape, precision, microShards);
  const [sum, result] = [contributionBytes, resultBytes].map((bytes) => memory.allocate(bytes));
  const vectors = createStepVectors(createWorkspace(memory, contributionBytes), {
    ...{ memory: memory.shared, precision, microShards, contributionBytes, resultBytes },
    ...{ contributions: [sum], results: [result, result] },
  });
  return { memory, sum, vectors };
}

/** The nearest bfloat16, ties to even, of a value that is not near the largest ones. */
function narrow(value: number): number {
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7);
  const [whole, rest] = [Math.floor(value / unit), value / unit - Math.floor(value / unit)];
  return unit * (rest > 0.5 || (rest === 0.5 && whole % 2 !== 0) ? whole + 1 : whole);
}

const widened = (values: Uint16Array): Float32Array =>
  new Float32Array(Uint32Array.from(values, (bits) => bits << 16).buffer);

for (const precision of ['float32', 'bfloat16'] as const)
  test(`a subtree is summed in the tree's order, leaves from left to right: ${precision}`, async () => {
    const { memory, sum, vectors } = world(precision);
    const round = precision === 'float32' ? (x: number) => x : narrow;
    for (const [node, gradients] of [
      [{ start: 0, end: 1 }, 7],
      [{ start: 0, end: 6 }, 9],
      [{ start: 3, end: 16 }, 40_000],
    ] as [TreeNode, number][]) {
      const plan = planOf(gradients);
      // As an engine does it: always the same array.
      const vector = vectorOf(plan, 0);
      let leaf = node.start;
      await vectors.sumSubtree(0, node, plan, async () => {
        vector.set(vectorOf(plan, leaf++));
        return vector;
      });
      assert.equal(leaf, node.end);
      const places = placesOf(plan.vector.shape, precision, microShards);
      const exact = memory.floats(sum + places.exact.start, 3);
      const at = sum + places.gradients.start;
      const found =
        precision === 'float32'
          ? memory.floats(at, gradients)
          : widened(new Uint16Array(memory.shared.buffer, at, gradients));
      const expected = (i: number, round: (x: number) => number): number =>
        foldTree(
          node,
          ({ start, end }) => (end - start === 1 ? round(value(start, i)) : undefined),
          (a, b) => round(Math.fround(a + b)),
        );
      const floats = (x: number): number => x;
      assert.deepEqual([...exact], [expected(0, floats), 0, expected(2, floats)]);
      for (let i = 0; i < gradients; i++) assert.equal(found[i], expected(3 + i, round), `${i}`);
    }
  });

test('a leaf that may make a sum overflow says so, wherever it does', async () => {
  const plan = planOf(33_000);
  const { memory, sum, vectors } = world('float32');
  const marked = async (change: (vector: Float32Array) => void): Promise<number> => {
    const vector = vectorOf(plan, 0);
    change(vector);
    await vectors.sumSubtree(0, { start: 0, end: 1 }, plan, () => Promise.resolve(vector));
    return memory.floats(sum, 3)[1];
  };
  const largest = 3.4028234663852886e38;
  assert.equal(await marked(() => undefined), 0);
  for (const at of [2, 3, 17_000, 33_002])
    for (const bad of [NaN, Infinity, -Infinity, largest, -largest / 31])
      assert.equal(await marked((vector) => (vector[at] = bad)), 1, `${bad} at ${at}`);
  assert.equal(await marked((vector) => (vector[17_000] = largest / 33)), 0);
  // Of factors, what their product may be counts.
  const [left, right] = [33_003, 33_018];
  assert.equal(await marked((vector) => (vector[left] = NaN)), 1);
  assert.equal(await marked((vector) => (vector[right] = Infinity)), 1);
  assert.equal(await marked((vector) => (vector[left] = 1e30)), 0);
  assert.equal(await marked((vector) => (vector[left] = vector[right] = 1e20)), 1);
  // The largest finite values are infinite in bfloat16, and times zero NaN.
  for (const factor of [left, right])
    assert.equal(await marked((vector) => (vector.fill(0, left)[factor] = largest)), 1);
  // A vote is the worker's own.
  assert.equal(await marked((vector) => (vector[0] = Infinity)), 0);
});

for (const precision of ['float32', 'bfloat16'] as const)
  test(`factors lie leaf by leaf in the result, and nowhere else: ${precision}`, () => {
    const plan = planOf(9);
    const { vectors } = world(precision);
    const result = vectors.resultOf(0, plan);
    for (const leaf of [3, 15, 4]) result.storeFactors(leaf, vectorOf(plan, leaf));
    for (const leaf of [3, 4, 15]) {
      const block = result.factors[leaf];
      const found = block instanceof Float32Array ? block : widened(block);
      const round = precision === 'float32' ? (x: number) => x : narrow;
      const expected = Array.from({ length: 16 }, (_, i) => round(value(leaf, 12 + i)));
      assert.deepEqual([...found], expected);
      block.fill(0);
    }
    for (const [leaf, block] of result.factors.entries())
      assert.ok(
        block.every((x) => x === 0),
        `leaf ${leaf}`,
      );
  });
