// Adam against the paper's algorithm 1, written out for one value at a time; finite or not.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  applyAdam,
  integerPower,
  sumOfSquares,
  updateAverage,
} from '../../../worker/training/update.js';

const options = { learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
const stateOf = (...values: number[]) => ({
  parameters: Float32Array.from(values),
  firstMoment: new Float32Array(values.length),
  secondMoment: new Float32Array(values.length),
  updates: 0,
});

test('updates follow the definition', () => {
  const gradient = fc.double({ min: -10, max: 10, noNaN: true });
  fc.assert(
    fc.property(fc.array(gradient, { minLength: 1, maxLength: 12 }), (steps) => {
      const state = stateOf(0.5);
      let [theta, m, v] = [0.5, 0, 0];
      for (const [i, g] of steps.entries()) {
        applyAdam(state, Float32Array.of(g), options);
        m = 0.9 * m + 0.1 * g;
        v = 0.99 * v + 0.01 * g * g;
        const [mean, square] = [m / (1 - 0.9 ** (i + 1)), v / (1 - 0.99 ** (i + 1))];
        theta -= (0.01 * mean) / (Math.sqrt(square) + 1e-8);
      }
      assert.equal(state.updates, steps.length);
      assert.ok(Math.abs(state.parameters[0] - theta) < 1e-4, `${state.parameters[0]} ${theta}`);
    }),
  );
});

test('a gradient of zero moves nothing at first', () => {
  const state = stateOf(1, -1);
  applyAdam(state, new Float32Array(2), options);
  assert.deepEqual([...state.parameters], [1, -1]);
});

test('an average follows the parameters, soon at first and then by its decay', () => {
  const average = Float32Array.of(8);
  const after = (updates: number, value: number): number => {
    updateAverage({ parameters: Float32Array.of(value), average, updates }, 0.5);
    return average[0];
  };
  // (1 + 1) / (10 + 1) at first; (1 + n) / (10 + n) is 0.5 with n = 8, and then the decay counts.
  assert.equal(after(1, 19), Math.fround((8 * 2) / 11 + (19 * 9) / 11));
  average.set([4]);
  assert.deepEqual([after(8, 8), after(9, 8), after(1000, 7)], [6, 7, 7]);
});

test('where no average is kept, none comes', () => {
  const average = new Float32Array(0);
  updateAverage({ parameters: Float32Array.of(1), average, updates: 1 }, 0.9);
  assert.equal(average.length, 0);
});

test('integer powers are powers', () => {
  assert.equal(integerPower(0.5, 0), 1);
  assert.equal(integerPower(0.5, 10), 2 ** -10);
  assert.ok(Math.abs(integerPower(0.999, 100_000) - 0.999 ** 100_000) < 1e-50);
});

const largest = 3.4028234663852886e38;

test('a sum of squares is finite when each value is, and only then', () => {
  const value = fc.oneof(
    { weight: 20, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }) },
    { weight: 4, arbitrary: fc.constantFrom(largest, -largest) },
    { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, -Infinity) },
  );
  fc.assert(
    fc.property(fc.array(value, { maxLength: 40 }), (values) => {
      const sum = sumOfSquares(Float32Array.from(values));
      assert.equal(Number.isFinite(sum), values.every(Number.isFinite));
      const expected = values.reduce((total, value) => total + value * value, 0);
      assert.ok(!Number.isFinite(sum) || Math.abs(sum - expected) <= 1e-12 * expected);
    }),
  );
});

test('many of the largest are still finite, and one that is not is found wherever it is', () => {
  const values = new Float32Array(100_003).fill(largest);
  assert.ok(Number.isFinite(sumOfSquares(values)));
  for (const at of [0, 1, 2, 3, 50_001, 100_000, 100_002])
    for (const bad of [NaN, Infinity, -Infinity])
      assert.ok(!Number.isFinite(sumOfSquares(values.with(at, bad))), `${bad} at ${at}`);
  // Opposite infinities do not cancel out.
  assert.ok(!Number.isFinite(sumOfSquares(values.with(4, Infinity).with(8, -Infinity))));
});
