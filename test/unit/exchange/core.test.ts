// The core's answers one by one: what it asks first, and what it refuses with which reason.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chunkFloats } from '../../../shared/plan/reduction.js';
import type { FrameHeader, Pull } from '../../../worker/exchange/core/messages.js';
import { createReceiver } from '../../../worker/exchange/core/receive.js';
import { createSender } from '../../../worker/exchange/core/send.js';
import {
  createFoldPlan,
  createStepProgress,
  type ReductionWorld,
} from '../../../worker/exchange/core/world.js';

const floats = 4 * chunkFloats;
const generation = 9;

/** Rank 0 of two, which hold the leaves [0, 2) and [2, 4), and the chunks [0, 2) and [2, 4). */
function createCore(windowChunks = 8) {
  const plan = createFoldPlan(2, 4);
  const world: ReductionWorld = {
    generation,
    rank: 0,
    worldSize: 2,
    plan,
    capacity: floats,
    windowChunks,
  };
  const progress = createStepProgress();
  const receiver = createReceiver(world, progress);
  return { progress, receiver, sender: createSender(world, progress) };
}

const pull: Pull = { generation, step: 6, phase: 'reduce', firstChunk: 2, endChunk: 4, floats };
const sum: FrameHeader = {
  kind: 'reduce',
  generation,
  step: 6,
  chunk: 0,
  start: 2,
  end: 4,
  floats: chunkFloats,
};
const result: FrameHeader = { ...sum, kind: 'gather', chunk: 2, start: 0, end: 0 };

test('a step asks for the results of the others and the sums for the own chunks', () => {
  const { progress, receiver } = createCore();
  progress.begin({ step: 6, floats });
  assert.deepEqual(receiver.begin(), [
    { kind: 'ask', to: 1, pull: { ...pull, phase: 'gather', firstChunk: 2, endChunk: 4 } },
    { kind: 'ask', to: 1, pull: { ...pull, phase: 'reduce', firstChunk: 0, endChunk: 2 } },
  ]);
  assert.equal(receiver.awaited(1), 4);
});

test('a small window asks on only as chunks are finished', () => {
  const { progress, receiver } = createCore(1);
  progress.begin({ step: 6, floats });
  receiver.begin();
  assert.deepEqual(receiver.onFrame(1, sum), [
    { kind: 'hold', chunk: 0, node: 2 },
    { kind: 'finish', chunk: 0, left: 1, right: 2 },
    { kind: 'ask', to: 1, pull: { ...pull, firstChunk: 1, endChunk: 2 } },
  ]);
});

test('the last frame ends the step', () => {
  const { progress, receiver } = createCore();
  progress.begin({ step: 6, floats });
  receiver.begin();
  for (const header of [sum, { ...sum, chunk: 1 }, result]) receiver.onFrame(1, header);
  assert.equal(receiver.needs(1), true);
  assert.deepEqual(receiver.onFrame(1, { ...result, chunk: 3 }), [
    { kind: 'store', chunk: 3 },
    { kind: 'done', step: 6 },
  ]);
  assert.equal(receiver.needs(1), false);
});

for (const [what, header, reason] of [
  ['another generation', { ...sum, generation: 8 }, /generation 8; this is generation 9/],
  ['a step that is over', { ...sum, step: 5 }, /step 5, which is not under way/],
  ['a chunk beyond the vector', { ...sum, chunk: 4 }, /chunk 4, beyond/],
  ['a chunk of the wrong length', { ...sum, floats: 3 }, /3 floats for chunk 0 of 262144/],
  ["a sum for another's chunk", { ...sum, chunk: 2 }, /chunk 2, which was not asked for/],
  ['a sum the sender lacks', { ...sum, start: 0, end: 2 }, /rank 1 does not hold/],
  ['leaves that are no subtree', { ...sum, start: 1, end: 3 }, /rank 1 does not hold/],
  ['a result of our own chunk', { ...result, chunk: 0 }, /rank 1 does not own/],
] as const) {
  test(`a frame with ${what} is refused and changes nothing`, () => {
    const { progress, receiver } = createCore();
    progress.begin({ step: 6, floats });
    receiver.begin();
    const [effect, ...rest] = receiver.onFrame(1, header);
    assert.ok(effect?.kind === 'refuse' && rest.length === 0);
    assert.match(effect.reason, reason);
    assert.equal(receiver.awaited(1), 4);
  });
}

test('a frame that comes twice is refused', () => {
  const { progress, receiver } = createCore();
  progress.begin({ step: 6, floats });
  receiver.begin();
  receiver.onFrame(1, result);
  assert.equal(receiver.onFrame(1, result)[0]?.kind, 'refuse');
  receiver.onFrame(1, sum);
  assert.equal(receiver.onFrame(1, sum)[0]?.kind, 'refuse');
});

test('requests wait for a step that this worker has not reached', () => {
  const { progress, sender } = createCore();
  assert.equal(sender.onPull(1, pull), undefined);
  assert.equal(sender.owes(1), true);
  assert.equal(sender.nextFrame(1), undefined);
  progress.begin({ step: 6, floats });
  assert.deepEqual(sender.begin(), []);
  const frame = sender.nextFrame(1);
  assert.deepEqual(frame?.header, { ...sum, chunk: 2, start: 0, end: 2 });
  assert.equal(frame?.contribution, 0);
  assert.equal(frame?.firstFloat, 2 * chunkFloats);
});

test('a request that turns out to be of another step or length is named when ours begins', () => {
  for (const wrong of [{ step: 9 }, { floats: floats - 1 }]) {
    const { progress, sender } = createCore();
    assert.equal(sender.onPull(1, { ...pull, ...wrong }), undefined);
    progress.begin({ step: 6, floats });
    assert.equal(sender.begin()[0]?.rank, 1);
  }
});

for (const [what, request, reason] of [
  ['another generation', { ...pull, generation: 8 }, /generation 8; this is generation 9/],
  ['a step two ahead', { ...pull, step: 8 }, /step 8; this worker is at step 6/],
  ['a step that is over', { ...pull, step: 5 }, /step 5; this worker is at step 6/],
  ['a longer vector', { ...pull, floats: floats + 1 }, /the world's has/],
  ['no vector', { ...pull, floats: 0 }, /the world's has/],
  ['another length', { ...pull, floats: floats - 1 }, /this worker has 1048576/],
  ["another rank's chunks", { ...pull, firstChunk: 0 }, /reduce of chunks \[0, 4\)/],
  ['a gap', { ...pull, firstChunk: 3 }, /next are \[2, 4\)/],
  ['no chunk', { ...pull, endChunk: 2 }, /next are \[2, 4\)/],
  ['more than there is', { ...pull, endChunk: 5 }, /next are \[2, 4\)/],
] as const) {
  test(`a request for ${what} is refused`, () => {
    const { progress, sender } = createCore();
    progress.begin({ step: 6, floats });
    sender.begin();
    assert.match(sender.onPull(1, request) ?? 'taken', reason);
    assert.equal(sender.owes(1), false);
  });
}

test('a chunk can be asked for only once', () => {
  const { progress, sender } = createCore();
  progress.begin({ step: 6, floats });
  assert.equal(sender.onPull(1, pull), undefined);
  assert.match(sender.onPull(1, pull) ?? 'taken', /next are \[4, 4\)/);
});
