// Lanes on real threads: the bits do not depend on how many there are, also where workers have
// different numbers of them, and a peer that is lost on one of them is lost, once.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { leavesOf, shareOf } from '../../../shared/plan/reduction.js';
import { chunkBytes, placesOf, type StepShape } from '../../../shared/plan/step-vector.js';
import type { ExchangeWorld } from '../../../worker/exchange/exchange.js';
import { until } from '../../support/until.js';
import {
  assertSameBits,
  contribute,
  leafValues,
  localWorlds,
  reference,
  resultOf,
  vectorsFor,
  withWorkers,
  worldOf,
  type TestWorker,
} from './exchange-worlds.js';

const microShards = 5;
const chunkFloats = chunkBytes / 4;
const capacity = 4 * chunkFloats + 1_000;
/** All chunks, fewer than lanes, one, and all again. */
const lengths = [capacity, chunkFloats + 1, 1, capacity - 7];

async function trainAhead(workers: readonly TestWorker[], worlds: readonly ExchangeWorld[]) {
  const loops = workers.map(async ({ exchange }, rank) => {
    await exchange.join(worlds[rank]);
    for (const [step, floats] of lengths.entries()) {
      contribute(worlds[rank], step, floats);
      await exchange.allReduce(step, floats);
      const expected = reference(step, microShards, floats);
      assertSameBits(resultOf(worlds[rank], step, floats), expected, `rank ${rank} step ${step}`);
    }
  });
  await Promise.all(loops);
}

for (const lanes of [[2, 2], [3, 1], [2, 3, 2], [3]])
  test(`workers with ${lanes.join(', ')} lanes have the bits of the reference`, async () => {
    const body = async (workers: readonly TestWorker[]): Promise<void> => {
      await trainAhead(workers, localWorlds(workers, microShards, capacity));
      for (const { lost } of workers) assert.deepEqual(lost, []);
    };
    await withWorkers(lanes.length, {}, body, lanes);
  });

test('factors of all leaves are gathered over the lanes, and known once they are there', async () => {
  const shape: StepShape = { exact: 10, gradients: chunkFloats, factors: chunkFloats + 3 };
  const { leaves } = placesOf(shape, 'float32', microShards);
  const body = async (workers: readonly TestWorker[]): Promise<void> => {
    const world = worldOf(
      1,
      workers.map(({ address }) => address),
      workers.map((one) => one.lanes),
    );
    await Promise.all(
      workers.map(async ({ exchange }, rank) => {
        const place = { world, rank, ...vectorsFor(rank, 3, microShards, shape) };
        const factorsOf = (leaf: number): Float32Array => {
          const start = place.results[0] + leaves[leaf].start;
          return new Float32Array(place.memory.buffer, start, shape.factors);
        };
        await exchange.join(place);
        const reduced = exchange.begin(0, shape);
        for (const leaf of leavesOf(shareOf(rank, 3, microShards))) {
          factorsOf(leaf).set(leafValues(0, leaf, shape.factors));
          exchange.publish(0, leaf);
        }
        await until(() => exchange.gathered.length === 1, 'all factors are there');
        for (let leaf = 0; leaf < microShards; leaf++)
          assertSameBits(factorsOf(leaf), leafValues(0, leaf, shape.factors), `leaf ${leaf}`);
        place.contributions.forEach((_, index) => exchange.contribute(0, index));
        await reduced;
        assert.deepEqual(exchange.gathered, [0]);
      }),
    );
  };
  await withWorkers(3, {}, body, [3, 2, 3]);
});

test('a world of more lanes follows one of fewer, and the other way round', async () => {
  const body = async (workers: readonly TestWorker[]): Promise<void> => {
    const [few, many] = [workers, workers.slice(0, 2)];
    await trainAhead(few, localWorlds(few, microShards, capacity, 1));
    await trainAhead(many, localWorlds(many, microShards, capacity, 2));
    await trainAhead(few, localWorlds(few, microShards, capacity, 3));
  };
  await withWorkers(3, {}, body, [3, 3, 1]);
});

test('a worker may close as soon as its last step is done on all lanes', async () => {
  const body = async (workers: readonly TestWorker[]): Promise<void> => {
    const worlds = localWorlds(workers, microShards, capacity);
    await Promise.all(
      workers.map(async ({ exchange }, rank) => {
        await exchange.join(worlds[rank]);
        contribute(worlds[rank], 0, capacity);
        await exchange.allReduce(0, capacity);
        await exchange.close();
      }),
    );
    const expected = reference(0, microShards, capacity);
    for (const world of worlds) assertSameBits(resultOf(world, 0, capacity), expected, 'step 0');
  };
  await withWorkers(3, {}, body, [2, 2, 2]);
});

test('a peer whose link is cut is lost on all lanes, and reported once by each end', async () => {
  const body = async (workers: readonly TestWorker[]): Promise<void> => {
    const worlds = localWorlds(workers, 2, 10);
    await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
    workers[0].exchange.mute('w1', 60_000);
    await until(() => workers.every(({ lost }) => lost.length > 0), 'both miss each other');
    // Other lanes find it within a tick or two.
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const { lost } of workers)
      assert.deepEqual(
        lost.map(({ reason }) => reason),
        ['sent nothing for 0.6 s'],
      );
  };
  await withWorkers(2, { aliveMs: 100, silenceMs: 600 }, body, [3, 3]);
});
