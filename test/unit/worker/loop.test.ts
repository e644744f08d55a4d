// Leaves that are computed ahead of who takes them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { computeAhead } from '../../../worker/training/loop.js';
import { turn } from '../../support/fake-run.js';

/** Computations that a test ends; each device writes into one array of its own. */
function computations(devices: number) {
  const vectors = Array.from({ length: devices }, () => new Float32Array(1));
  const underWay = new Map<number, { end: () => void; fail: (error: Error) => void }>();
  const compute = (leaf: number, device: number): Promise<Float32Array> =>
    new Promise((resolve, reject) => {
      const isBusy = [...underWay.keys()].some((other) => other % devices === leaf % devices);
      assert.ok(!isBusy, `device ${device} computes one at a time`);
      const end = (): void => {
        underWay.delete(leaf);
        vectors[device][0] = leaf;
        resolve(vectors[device]);
      };
      const fail = (error: Error): void => {
        underWay.delete(leaf);
        reject(error);
      };
      underWay.set(leaf, { end, fail });
    });
  return { compute, underWay, leaves: (): number[] => [...underWay.keys()] };
}

test('each device has one leaf under way, and leaves come in their order', async () => {
  const { compute, underWay, leaves } = computations(3);
  const taken: number[] = [];
  const all = computeAhead([5, 6, 7, 8, 9], 3, compute, async (nextLeaf) => {
    for (let i = 0; i < 5; i++) taken.push((await nextLeaf())[0]);
  });
  assert.deepEqual(leaves(), [5, 6, 7]);
  underWay.get(7)!.end();
  underWay.get(6)!.end();
  await turn();
  assert.deepEqual([leaves(), taken], [[5], []]);
  underWay.get(5)!.end();
  await turn();
  // The third device waits until its vector is taken.
  assert.deepEqual(
    [leaves(), taken],
    [
      [8, 9],
      [5, 6, 7],
    ],
  );
  underWay.get(9)!.end();
  underWay.get(8)!.end();
  await all;
  assert.deepEqual(taken, [5, 6, 7, 8, 9]);
});

test('what fails is known when no other computation is under way any more', async () => {
  const { compute, underWay } = computations(2);
  let failure: unknown;
  const all = computeAhead([0, 1], 2, compute, async (nextLeaf) => {
    await nextLeaf();
  }).catch((error: unknown) => (failure = error));
  underWay.get(0)!.fail(new Error('lost'));
  await turn();
  assert.equal(failure, undefined);
  underWay.get(1)!.fail(new Error('lost as well'));
  await all;
  assert.match(String(failure), /lost$/);
});
