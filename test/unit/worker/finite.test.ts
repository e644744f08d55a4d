// Finite or not, found out by sums.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { areFinite } from '../../../worker/training/finite.js';

test('values are finite when each of them is', () => {
  const largest = 3.4028234663852886e38;
  const value = fc.oneof(
    { weight: 20, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }) },
    { weight: 4, arbitrary: fc.constantFrom(largest, -largest) },
    { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity) },
  );
  fc.assert(
    fc.property(fc.array(value, { maxLength: 40 }), (values) => {
      assert.equal(areFinite(Float32Array.from(values)), values.every(Number.isFinite));
    }),
  );
});

test('many of the largest are still finite, and one that is not is found wherever it is', () => {
  const values = new Float32Array(100_003).fill(3.4028234663852886e38);
  assert.ok(areFinite(values));
  for (const at of [0, 1, 2, 3, 50_001, 100_000, 100_002])
    for (const bad of [NaN, Infinity, -Infinity])
      assert.ok(!areFinite(values.with(at, bad)), `${bad} at ${at}`);
  // Opposite infinities do not cancel out.
  assert.ok(!areFinite(values.with(4, Infinity).with(8, -Infinity)));
});
