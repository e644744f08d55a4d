// Values in the shared memory: worlds come and go, and what they hold sums in is taken once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';

import { chunkBytes, placesOf } from '../../../shared/plan/step-vector.js';
import { createFoldPlan, reductionWorldOf } from '../../../worker/exchange/core/world.js';
import { ExchangeMemory, type SharedMemory } from '../../../worker/exchange/memory.js';
import { createMemoryValues } from '../../../worker/exchange/values.js';

/** The memory as it comes out of a message. */
function posted(memory: SharedMemory): SharedMemory {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(memory);
  const received = receiveMessageOnPort(port2) as { message: SharedMemory };
  port1.close();
  return received.message;
}

test('worlds that follow each other hold sums in the same places', () => {
  const memory = new ExchangeMemory();
  const values = createMemoryValues();
  const shape = { exact: 4, gradients: 0, factors: 0 };
  const { contributionBytes, resultBytes } = placesOf(shape, 'float32', 2);
  const own = memory.allocate(contributionBytes);
  const [even, odd] = [memory.allocate(resultBytes), memory.allocate(resultBytes)];
  memory.floats(own, 4).set([1, 2, 3, 4]);
  const plan = createFoldPlan(2, 2);
  const before = memory.allocate(64);
  for (let generation = 1; generation <= 5; generation++) {
    const members = [0, 1].map((rank) => {
      return { rank, worker: `w${rank}`, incarnation: 1, address: '' };
    });
    const world = {
      ...{ world: { generation, members }, rank: 0, microShards: 2, lane: 0, lanes: 1 },
      ...{ precision: 'float32' as const, contributionBytes, resultBytes },
      ...{ memory: posted(memory.shared), contributions: [own], results: [even, odd] as const },
    };
    const ofWorld = values(world, plan);
    const chunks = reductionWorldOf(world, plan, chunkBytes).chunksOf(shape)!;
    ofWorld.begin({ step: generation, chunks });
    const received = new Uint8Array(Float32Array.of(3, 2, 1, generation).buffer);
    const [left, right] = [plan.heldBy[0][0], plan.heldBy[1][0]];
    ofWorld.perform({ kind: 'hold', chunk: 0, node: right }, received);
    ofWorld.perform({ kind: 'finish', chunk: 0, left, right }, undefined);
    const result = memory.floats(generation % 2 === 0 ? even : odd, 4);
    assert.deepEqual([...result], [2, 2, 2, (4 + generation) / 2]);
  }
  assert.equal(memory.allocate(64) - before, 64 + chunkBytes);
});

test('places of one memory are not taken for those of another', () => {
  assert.notEqual(new ExchangeMemory().id, new ExchangeMemory().id);
});
