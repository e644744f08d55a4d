import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { sumInto, scaledSumInto, scaleInto } from '../../../worker/exchange/values.js';

const { fround } = Math;
const pair = fc
  .nat({ max: 40 })
  .chain((length) =>
    fc.tuple(
      fc.float32Array({ minLength: length, maxLength: length, noNaN: true }),
      fc.float32Array({ minLength: length, maxLength: length, noNaN: true }),
    ),
  );

/** Equal as numbers, zero signs included. */
function assertSame(actual: Float32Array, expected: readonly number[]): void {
  assert.deepEqual([...actual], [...Float32Array.from(expected)]);
}

test('sums are float32 sums, value by value, also in place', () => {
  fc.assert(
    fc.property(pair, ([left, right]) => {
      const expected = [...left].map((value, i) => fround(value + right[i]));
      const out = new Float32Array(left.length);
      sumInto(out, left, right);
      assertSame(out, expected);
      sumInto(right, left, right);
      assertSame(right, expected);
    }),
  );
});

test('the scaled sum is rounded after the addition and after the product', () => {
  fc.assert(
    fc.property(pair, fc.integer({ min: 1, max: 64 }), ([left, right], leaves) => {
      const scale = fround(1 / leaves);
      const expected = [...left].map((value, i) => fround(fround(value + right[i]) * scale));
      scaledSumInto(left, left, right, scale);
      assertSame(left, expected);
      scaleInto(right, right, scale);
    }),
  );
});

test('a tree of one leaf is scaled like any other', () => {
  const out = new Float32Array(3);
  scaleInto(out, Float32Array.of(1, 2.5, -3), fround(1 / 3));
  assertSame(out, [fround(1 / 3), fround(2.5 * fround(1 / 3)), fround(-3 * fround(1 / 3))]);
});
