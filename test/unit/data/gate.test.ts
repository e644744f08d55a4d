import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGate } from '../../../worker/data/gate.js';

/** Enters and notes when it was let in. */
function enterAll(gate: ReturnType<typeof createGate>, sizes: readonly number[]): number[] {
  const admitted: number[] = [];
  for (const [i, bytes] of sizes.entries()) void gate.enter(bytes).then(() => admitted.push(i));
  return admitted;
}

const settled = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('as many are let in as the count allows, in the order of coming', async () => {
  const gate = createGate(2, 1000);
  const admitted = enterAll(gate, [1, 1, 1, 1]);
  await settled();
  assert.deepEqual(admitted, [0, 1]);
  gate.leave(1);
  await settled();
  assert.deepEqual(admitted, [0, 1, 2]);
});

test('as many are let in as the bytes allow, and none overtakes', async () => {
  const gate = createGate(10, 100);
  const admitted = enterAll(gate, [60, 60, 10]);
  await settled();
  assert.deepEqual(admitted, [0]);
  gate.leave(60);
  await settled();
  assert.deepEqual(admitted, [0, 1, 2]);
});

test('work larger than the gate goes alone', async () => {
  const gate = createGate(10, 100);
  const admitted = enterAll(gate, [500, 1]);
  await settled();
  assert.deepEqual(admitted, [0]);
  gate.leave(500);
  await settled();
  assert.deepEqual(admitted, [0, 1]);
});
