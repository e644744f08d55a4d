// The core's answers one by one: what it asks first, and what it refuses with which reason.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chunkBytes, placesOf, type StepShape } from '../../../shared/plan/step-vector.js';
import type { FrameHeader, Pull } from '../../../worker/exchange/core/messages.js';
import { createReceiver } from '../../../worker/exchange/core/receive.js';
import { createSender } from '../../../worker/exchange/core/send.js';
import {
  createFoldPlan,
  createStepProgress,
  reductionWorldOf,
} from '../../../worker/exchange/core/world.js';

/** Four chunks that are summed. */
const shape: StepShape = { exact: 1, gradients: (3 * chunkBytes) / 4, factors: 0 };
/** And one for each of four leaves: those of rank 1 are the chunks 6 and 7. */
const factored: StepShape = { ...shape, factors: 5 };
const generation = 9;

/** Rank 0 of two, which hold the leaves [0, 2) and [2, 4), and the chunks [0, 2) and [2, 4). */
function createCore({ windowChunks = 8, lanes = 1 } = {}) {
  const plan = createFoldPlan(2, 4);
  const members = [0, 1].map((rank) => {
    return { rank, worker: `w${rank}`, incarnation: 1, address: '' };
  });
  const place = { world: { generation, members }, rank: 0, microShards: 4, lane: 0, lanes };
  const { contributionBytes, resultBytes } = placesOf(factored, 'float32', 4);
  const world = reductionWorldOf(
    { ...place, precision: 'float32', contributionBytes, resultBytes },
    plan,
    windowChunks * chunkBytes,
  );
  const progress = createStepProgress(1);
  const receiver = createReceiver(world, progress);
  /** Begins a step to which everything of ours is there, unless it is said otherwise. */
  const begin = (step: number, what = shape, isContributed = true) => {
    progress.begin({ step, chunks: world.chunksOf(what)! });
    const effects = receiver.begin();
    return isContributed ? [...effects, ...receiver.contributed(0)] : effects;
  };
  return { progress, receiver, sender: createSender(world, progress), begin };
}

const pull: Pull = { generation, step: 6, phase: 'reduce', firstChunk: 2, endChunk: 4, shape };
const sum: FrameHeader = {
  kind: 'reduce',
  generation,
  step: 6,
  chunk: 0,
  start: 2,
  end: 4,
  bytes: 4,
};
const result: FrameHeader = {
  ...{ ...sum, kind: 'gather', chunk: 2, start: 0, end: 0 },
  bytes: chunkBytes,
};

test('a step asks for the results of the others and the sums for the own chunks', () => {
  const { receiver, begin } = createCore();
  assert.deepEqual(begin(6), [
    { kind: 'ask', to: 1, pull: { ...pull, phase: 'gather', firstChunk: 2, endChunk: 4 } },
    { kind: 'ask', to: 1, pull: { ...pull, phase: 'reduce', firstChunk: 0, endChunk: 2 } },
  ]);
  assert.equal(receiver.awaited(1), 4);
});

test('a small window asks on only as chunks are finished', () => {
  const { receiver, begin } = createCore({ windowChunks: 1 });
  begin(6);
  assert.deepEqual(receiver.onFrame(1, sum), [
    { kind: 'hold', chunk: 0, node: 2 },
    { kind: 'finish', chunk: 0, left: 1, right: 2 },
    { kind: 'ask', to: 1, pull: { ...pull, firstChunk: 1, endChunk: 2 } },
  ]);
});

test('the last frame ends the step', () => {
  const { receiver, begin } = createCore();
  begin(6);
  for (const header of [sum, { ...sum, chunk: 1, bytes: chunkBytes }, result])
    receiver.onFrame(1, header);
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
  ['a chunk of the wrong length', { ...sum, bytes: 3 }, /3 bytes for chunk 0 of 4/],
  [
    "a sum for another's chunk",
    { ...sum, chunk: 2, bytes: chunkBytes },
    /chunk 2, which was not asked for/,
  ],
  ['a sum the sender lacks', { ...sum, start: 0, end: 2 }, /rank 1 does not hold/],
  ['leaves that are no subtree', { ...sum, start: 1, end: 3 }, /rank 1 does not hold/],
  ['a result of our own chunk', { ...result, chunk: 0, bytes: 4 }, /rank 1 does not own/],
] as const) {
  test(`a frame with ${what} is refused and changes nothing`, () => {
    const { receiver, begin } = createCore();
    begin(6);
    const [effect, ...rest] = receiver.onFrame(1, header);
    assert.ok(effect?.kind === 'refuse' && rest.length === 0);
    assert.match(effect.reason, reason);
    assert.equal(receiver.awaited(1), 4);
  });
}

test('a frame that comes twice is refused', () => {
  const { receiver, begin } = createCore();
  begin(6);
  receiver.onFrame(1, result);
  assert.equal(receiver.onFrame(1, result)[0]?.kind, 'refuse');
  receiver.onFrame(1, sum);
  assert.equal(receiver.onFrame(1, sum)[0]?.kind, 'refuse');
});

test('requests wait for a step that this worker has not reached', () => {
  const { sender, begin } = createCore();
  assert.equal(sender.onPull(1, pull), undefined);
  assert.equal(sender.owes(1), true);
  assert.equal(sender.nextFrame(1), undefined);
  begin(6);
  assert.deepEqual(sender.begin(), []);
  const frame = sender.nextFrame(1);
  assert.deepEqual(frame?.header, { ...sum, chunk: 2, start: 0, end: 2, bytes: chunkBytes });
  assert.equal(frame?.contribution, 0);
  // Behind the exact section, which is padded to 64 bytes.
  assert.equal(frame?.start, 64 + chunkBytes);
});

test('a request that turns out to be of another step or length is named when ours begins', () => {
  for (const wrong of [{ step: 9 }, { shape: { ...shape, gradients: shape.gradients - 1 } }]) {
    const { sender, begin } = createCore();
    assert.equal(sender.onPull(1, { ...pull, ...wrong }), undefined);
    begin(6);
    assert.equal(sender.begin()[0]?.rank, 1);
  }
});

for (const [what, request, reason] of [
  ['another generation', { ...pull, generation: 8 }, /generation 8; this is generation 9/],
  ['a step two ahead', { ...pull, step: 8 }, /step 8; this worker is at step 6/],
  ['a step that is over', { ...pull, step: 5 }, /step 5; this worker is at step 6/],
  ['a longer vector', { ...pull, shape: { ...shape, exact: 2 ** 32 - 1 } }, /have no room/],
  ['longer factors', { ...pull, shape: { ...shape, factors: 2 ** 20 } }, /have no room/],
  ['no vector', { ...pull, shape: { exact: 0, gradients: 0, factors: 0 } }, /have no room/],
  [
    'another shape',
    { ...pull, shape: factored },
    new RegExp(`has 1 \\+ ${shape.gradients} values and 0 a leaf`),
  ],
  ["another rank's chunks", { ...pull, firstChunk: 0 }, /reduce of chunks \[0, 4\)/],
  ['a gap', { ...pull, firstChunk: 3 }, /next are \[2, 4\)/],
  ['no chunk', { ...pull, endChunk: 2 }, /next are \[2, 4\)/],
  ['more than there is', { ...pull, endChunk: 5 }, /next are \[2, 4\)/],
] as const) {
  test(`a request for ${what} is refused`, () => {
    const { sender, begin } = createCore();
    begin(6);
    sender.begin();
    assert.match(sender.onPull(1, request) ?? 'taken', reason);
    assert.equal(sender.owes(1), false);
  });
}

test('a chunk can be asked for only once', () => {
  const { sender, begin } = createCore();
  begin(6);
  assert.equal(sender.onPull(1, pull), undefined);
  assert.match(sender.onPull(1, pull) ?? 'taken', /next are \[4, 4\)/);
});

test('what comes before our own contribution is held, and added when that is complete', () => {
  const { receiver, begin } = createCore();
  begin(6, shape, false);
  assert.deepEqual(receiver.onFrame(1, sum), [{ kind: 'hold', chunk: 0, node: 2 }]);
  // We wait for ourselves first.
  assert.equal(receiver.awaitedAlone(), undefined);
  assert.deepEqual(receiver.contributed(0), [{ kind: 'finish', chunk: 0, left: 1, right: 2 }]);
  assert.equal(receiver.awaitedAlone(), 1);
});

test('a sum leaves when its contribution is complete, and not before', () => {
  const { receiver, sender, begin } = createCore();
  begin(6, shape, false);
  assert.equal(sender.onPull(1, pull), undefined);
  assert.equal(sender.canSend(1), false);
  assert.equal(sender.owes(1), true);
  receiver.contributed(0);
  assert.equal(sender.nextFrame(1)?.header.chunk, 2);
});

test('factors are asked for first, leave when they are published, and are told of at once', () => {
  const { receiver, sender, begin } = createCore();
  const leaves = { ...pull, shape: factored, phase: 'leaf' as const };
  const [ask] = begin(6, factored, false);
  assert.deepEqual(ask, { kind: 'ask', to: 1, pull: { ...leaves, firstChunk: 6, endChunk: 8 } });
  assert.equal(sender.onPull(1, { ...leaves, firstChunk: 4, endChunk: 6 }), undefined);
  assert.equal(sender.canSend(1), false);
  assert.deepEqual(receiver.published(0), []);
  const frame = { ...sum, kind: 'leaf', chunk: 4, start: 0, end: 1, bytes: 20 } as const;
  assert.deepEqual(sender.nextFrame(1)?.header, frame);
  assert.equal(sender.canSend(1), false);
  assert.deepEqual(receiver.published(1), []);
  const theirs = (chunk: number): FrameHeader => ({ ...frame, chunk, start: chunk - 4 });
  assert.deepEqual(receiver.onFrame(1, theirs(7)), [{ kind: 'store', chunk: 7 }]);
  assert.match(String(Object.values(receiver.onFrame(1, theirs(5))[0])), /does not compute/);
  assert.deepEqual(receiver.onFrame(1, theirs(6)), [
    { kind: 'store', chunk: 6 },
    { kind: 'gathered', step: 6 },
  ]);
});

test('of several lanes a peer may be two steps ahead', () => {
  const ahead = { ...pull, step: 8, firstChunk: 1, endChunk: 2 };
  const { sender, begin } = createCore({ lanes: 2 });
  begin(6);
  assert.equal(sender.onPull(1, ahead), undefined);
  assert.match(sender.onPull(1, { ...ahead, step: 9 }) ?? 'taken', /step 9/);
});
