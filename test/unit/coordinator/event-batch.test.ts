// Events that come together are decided on together, in their order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { CoordinatorEvent } from '../../../coordinator/core/state.js';
import { createEventBatch } from '../../../coordinator/edge/event-batch.js';

const scale = (workers: number): CoordinatorEvent => ({ kind: 'scaleAsked', workers });

test('events wait for those that come with them, unless one is urgent', async () => {
  const decided: (readonly CoordinatorEvent[])[] = [];
  const batch = createEventBatch((events) => decided.push(events));
  batch.soon(scale(1));
  batch.soon(scale(2));
  assert.deepEqual(decided, []);
  await turn();
  assert.deepEqual(decided, [[scale(1), scale(2)]]);
  batch.soon(scale(3));
  batch.now(scale(4));
  assert.deepEqual(decided[1], [scale(3), scale(4)]);
  await turn();
  assert.equal(decided.length, 2);
});

test('what comes while events are decided on is decided on afterwards', async () => {
  const decided: number[] = [];
  const batch = createEventBatch((events) => {
    decided.push(events.length);
    if (decided.length === 1) batch.soon(scale(9));
    assert.ok(decided.length < 3);
  });
  batch.now(scale(1));
  assert.deepEqual(decided, [1]);
  await turn();
  assert.deepEqual(decided, [1, 1]);
});
