// Adam against the paper's algorithm 1, written out for one value at a time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyAdam, integerPower } from '../../../worker/optimizer/adam.js';

const options = { learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };
const gradients = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), {
  minLength: 1,
  maxLength: 12,
});

test('updates follow the definition', () => {
  fc.assert(
    fc.property(gradients, (steps) => {
      const state = {
        parameters: Float32Array.of(0.5),
        firstMoment: new Float32Array(1),
        secondMoment: new Float32Array(1),
        updates: 0,
      };
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
  const state = {
    parameters: Float32Array.of(1, -1),
    firstMoment: new Float32Array(2),
    secondMoment: new Float32Array(2),
    updates: 0,
  };
  applyAdam(state, new Float32Array(2), options);
  assert.deepEqual([...state.parameters], [1, -1]);
});

test('integer powers are powers', () => {
  assert.equal(integerPower(0.5, 0), 1);
  assert.equal(integerPower(0.5, 10), 2 ** -10);
  assert.ok(Math.abs(integerPower(0.999, 100_000) - 0.999 ** 100_000) < 1e-50);
});
