// Clocks by four timestamps, by cases that can be worked out on paper.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alignClock, readClock } from '../../../watch/step-trace/clocks.js';

test('the exchange with the least round trip decides', () => {
  const slow = { sentUs: 0, receivedUs: 5_900, repliedUs: 5_950, answeredUs: 1_050 };
  // 100 us there, 300 us back, 20 us in between; the other clock is 5 ms ahead.
  const fast = { sentUs: 2_000, receivedUs: 7_100, repliedUs: 7_120, answeredUs: 2_420 };
  const reading = readClock([slow, fast, slow]);
  assert.equal(reading?.atUs, 7_110);
  assert.equal(reading.offsetUs, 4_900);
  assert.ok(reading.errorUs >= 200 && reading.errorUs < 202, `${reading.errorUs}`);
  assert.equal(readClock([]), undefined);
});

test('between two readings the offset is a straight line', () => {
  const before = { atUs: 1e9, offsetUs: 100, errorUs: 20 };
  const after = { atUs: 1e9 + 1e6, offsetUs: 150, errorUs: 30 };
  const alignment = alignClock([before, after], 1e9 + 1e6);
  assert.deepEqual([alignment?.offsetUs, alignment?.errorUs, alignment?.driftPpm], [125, 30, 50]);
  assert.equal(alignment?.align(1e9), 1e9 - 100);
  assert.equal(alignment.align(1e9 + 5e5), 1e9 + 5e5 - 125);
  assert.equal(alignment.align(1e9 + 1e6), 1e9 + 1e6 - 150);
});

test('one reading is believed less and less; without any there is no alignment', () => {
  const reading = { atUs: 0, offsetUs: 7, errorUs: 10 };
  assert.equal(alignClock([reading], 0)?.errorUs, 10);
  assert.equal(alignClock([reading], 1e6)?.errorUs, 1_010);
  assert.equal(alignClock([reading], 1e6)?.driftPpm, undefined);
  assert.equal(alignClock([], 0), undefined);
});
