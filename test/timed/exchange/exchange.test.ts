// The exchange over real gRPC on loopback, several workers in this process: sums to the bit, any
// number of workers, lengths that change, worlds that change, and peers that leave in order.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chunkBytes } from '../../../shared/plan/step-vector.js';
import {
  assertSameBits,
  contribute,
  createVectors,
  localWorlds,
  reference,
  resultOf,
  withWorkers,
  worldOf,
} from './exchange-worlds.js';

const microShards = 7;
const chunkFloats = chunkBytes / 4;
const capacity = 3 * chunkFloats + 1_000;

for (const count of [1, 2, 3, 5]) {
  test(`${count} workers end every step with the bits of the reference`, async () => {
    await withWorkers(count, {}, async (workers) => {
      const worlds = localWorlds(workers, microShards, capacity);
      await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
      // Lengths of a step may be below the vector's: less than a chunk, one float, all.
      for (const [i, floats] of [capacity, 1_234, chunkFloats + 1, 1].entries()) {
        const step = 40 + i;
        await Promise.all(
          workers.map(({ exchange }, rank) => {
            contribute(worlds[rank], step, floats);
            return exchange.allReduce(step, floats);
          }),
        );
        const expected = reference(step, microShards, floats);
        for (const world of worlds)
          assertSameBits(resultOf(world, step, floats), expected, `step ${step}`);
      }
      for (const { lost } of workers) assert.deepEqual(lost, []);
    });
  });
}

test('workers run ahead of each other without a barrier, and no step is mixed up', async () => {
  await withWorkers(3, {}, async (workers) => {
    const floats = chunkFloats + 5_000;
    const worlds = localWorlds(workers, microShards, floats);
    const loops = workers.map(async ({ exchange }, rank) => {
      await exchange.join(worlds[rank]);
      for (let step = 0; step < 8; step++) {
        contribute(worlds[rank], step, floats);
        await exchange.allReduce(step, floats);
        assertSameBits(
          resultOf(worlds[rank], step, floats),
          reference(step, microShards, floats),
          `rank ${rank} step ${step}`,
        );
      }
    });
    await Promise.all(loops);
  });
});

test('a worker may close as soon as its last step is done; slower peers still finish', async () => {
  await withWorkers(3, {}, async (workers) => {
    const floats = 3 * chunkFloats;
    const worlds = localWorlds(workers, microShards, floats);
    await Promise.all(
      workers.map(async ({ exchange }, rank) => {
        await exchange.join(worlds[rank]);
        contribute(worlds[rank], 0, floats);
        await exchange.allReduce(0, floats);
        await exchange.close();
      }),
    );
    const expected = reference(0, microShards, floats);
    for (const world of worlds) assertSameBits(resultOf(world, 0, floats), expected, 'step 0');
  });
});

test('a peer that hears of the world later is waited for', async () => {
  await withWorkers(2, {}, async (workers) => {
    const worlds = localWorlds(workers, 2, 10);
    const early = workers[0].exchange.join(worlds[0]);
    // Rounds of the event loop in which the early hello arrives and could be refused.
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    await workers[1].exchange.join(worlds[1]);
    await early;
    assert.deepEqual(workers[0].lost, []);
  });
});

test('a new world of fewer workers goes on where the old one stopped', async () => {
  await withWorkers(3, {}, async (workers) => {
    const floats = 5_000;
    const first = localWorlds(workers, microShards, floats, 1);
    await Promise.all(workers.map(({ exchange }, rank) => exchange.join(first[rank])));
    await Promise.all(
      workers.map(({ exchange }, rank) => {
        contribute(first[rank], 0, floats);
        return exchange.allReduce(0, floats);
      }),
    );
    await workers[1].exchange.close();
    const survivors = [workers[0], workers[2]];
    const world = worldOf(2, [survivors[0].address, survivors[1].address]);
    const second = survivors.map((_, rank) => {
      return { world, rank, ...createVectors(rank, 2, microShards, floats) };
    });
    await Promise.all(survivors.map(({ exchange }, rank) => exchange.join(second[rank])));
    await Promise.all(
      survivors.map(({ exchange }, rank) => {
        contribute(second[rank], 1, floats);
        return exchange.allReduce(1, floats);
      }),
    );
    const expected = reference(1, microShards, floats);
    for (const world of second) assertSameBits(resultOf(world, 1, floats), expected, 'step 1');
  });
});
