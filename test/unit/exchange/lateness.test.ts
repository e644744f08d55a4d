// For whom a step waited: the sums of the times, told by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Lateness } from '../../../worker/exchange/lateness.js';

type Note = readonly [alone: number | undefined, nowMs: number];

for (const [what, notes, endMs, expected] of [
  ['nobody alone', [[undefined, 5]], 9, { waitedFor: undefined, waitedMs: 0 }],
  [
    'one at the end',
    [
      [undefined, 0],
      [2, 10],
    ],
    17,
    { waitedFor: 2, waitedMs: 7 },
  ],
  [
    'the longest of two, in pieces',
    [
      [1, 0],
      [0, 10],
      [1, 15],
      [undefined, 18],
    ],
    99,
    { waitedFor: 1, waitedMs: 13 },
  ],
  [
    'told twice',
    [
      [1, 0],
      [1, 4],
    ],
    10,
    { waitedFor: 1, waitedMs: 10 },
  ],
] as const) {
  test(`a step that waited for: ${what}`, () => {
    const lateness = new Lateness();
    for (const [alone, nowMs] of notes as readonly Note[]) lateness.note(alone, nowMs);
    assert.deepEqual(lateness.take(endMs), expected);
    assert.deepEqual(lateness.take(endMs + 50), { waitedFor: undefined, waitedMs: 0 });
  });
}
