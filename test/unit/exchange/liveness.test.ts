// The peer that a step waited for, how fast links bring what is awaited, and silence in ticks:
// which peers count, when it is too long, and what a late tick means.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Lateness, LinkRates, Silence } from '../../../worker/exchange/core/liveness.js';

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
    'noted twice',
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

/** Ticks 100 ms apart, from `startMs`; the names found in each. */
function tickTimes(silence: Silence<string>, startMs: number, count: number): string[][] {
  return Array.from({ length: count }, (_, i) => silence.tick(startMs + 100 * i));
}

test('who was heard of once and then no more is found at the limit', () => {
  const silence = new Silence<string>(100, 400);
  silence.heard('a');
  assert.deepEqual(tickTimes(silence, 0, 6), [[], [], [], [], ['a'], ['a']]);
});

test('who was never heard of, or is forgotten, does not count', () => {
  const silence = new Silence<string>(100, 200);
  assert.deepEqual(tickTimes(silence, 0, 3), [[], [], []]);
  silence.heard('a');
  silence.forget('a');
  assert.deepEqual(tickTimes(silence, 300, 3), [[], [], []]);
});

test('a sign of life starts the count again, for this one only', () => {
  const silence = new Silence<string>(100, 300);
  silence.heard('a');
  silence.heard('b');
  assert.deepEqual(tickTimes(silence, 0, 2), [[], []]);
  silence.heard('b');
  assert.deepEqual(tickTimes(silence, 200, 4), [[], ['a'], ['a'], ['a', 'b']]);
});

test('a tick more than two ticks late starts all counts again', () => {
  const silence = new Silence<string>(100, 300);
  silence.heard('a');
  assert.deepEqual(tickTimes(silence, 0, 2), [[], []]);
  assert.deepEqual(silence.tick(1_000), []);
  assert.deepEqual(tickTimes(silence, 1_100, 4), [[], [], [], ['a']]);
});

test('a tick that is a little late counts as one', () => {
  const silence = new Silence<string>(100, 300);
  silence.heard('a');
  assert.deepEqual(
    [0, 290, 580, 870].map((now) => silence.tick(now)),
    [[], [], [], ['a']],
  );
});

test('a link counts in ticks in which its peer was awaited throughout, and something came', () => {
  const rates = new LinkRates();
  const notes: readonly (readonly [bytes: number, isAwaited: boolean])[] = [
    [10, false], // before the step
    [20, true], // awaited since some time in this tick
    [500, true],
    [0, true], // the peer computes
    [300, true],
    [40, false], // the last came somewhere in this tick
    [60, true],
    [200, true],
  ];
  notes.forEach(([bytes, isAwaited], i) => rates.note(1, bytes, isAwaited, 250 * i));
  assert.deepEqual(rates.take(), { rank: 1, bytes: 1_000, ms: 750 });
  assert.equal(rates.take(), undefined);
});

test('of several links the one that was awaited longest counts, and a late tick for its time', () => {
  const rates = new LinkRates();
  for (const nowMs of [0, 250, 1_500]) {
    rates.note(1, 100, true, nowMs);
    rates.note(2, 100, nowMs < 500, nowMs);
  }
  assert.deepEqual(rates.take(), { rank: 1, bytes: 200, ms: 1_500 });
});
