// The update against the paper's algorithm 1, written out for one value at a time; finite or not.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RunSpec } from '../../../shared/spec/schema.js';
import type { UpdateProgram } from '../../../task/ops/update.js';
import { createHostState } from '../../../worker/engine/host-state.js';
import { integerPower, sumOfSquares, updateScalars } from '../../../worker/training/update.js';
import { tinyRun } from '../../support/tiny-run.js';

const tiny = tinyRun('file://nowhere');
const spec: RunSpec = {
  ...tiny,
  optimizer: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 },
  statisticsMomentum: 0.75,
  ema: 0.5,
};
const phase = { ...tiny.phases[0], learningRate: { generator: 0.01, discriminator: 1 } };

/** A network of so many parameters and two statistics, and update after update of it. */
function trained(values: readonly number[], isAveraged: boolean, before = 0) {
  const network = {
    name: 'generator',
    parameters: [{ name: 'w', shape: [values.length] }],
    statistics: [{ name: 'mean', shape: [2] }],
    isAveraged,
  };
  const state = createHostState([network]);
  const vectors = state.vectors['generator'];
  vectors.parameters.set(values);
  if (isAveraged) vectors.average.set(values);
  let generator = before;
  const update = {
    networks: [
      {
        network: 'generator',
        pieces: [{ kind: 'summed', from: 0, size: values.length }],
      },
    ],
    statistics: [{ network: 'generator', offset: 1, from: 0, size: 1 }],
    products: [],
  } satisfies UpdateProgram;
  /** The second statistic's mean, then the gradient. */
  const apply = (statistic: number, ...gradient: number[]): void => {
    generator += 1;
    const means = { exact: Float32Array.of(statistic), gradients: Float32Array.from(gradient) };
    const scalars = updateScalars(spec, phase, 0, { generator });
    state.apply(update, { ...means, products: {} }, scalars);
  };
  return { ...vectors, apply };
}

test('updates follow the definition', () => {
  const gradient = fc.double({ min: -10, max: 10, noNaN: true });
  fc.assert(
    fc.property(fc.array(gradient, { minLength: 1, maxLength: 12 }), (steps) => {
      const { parameters, apply } = trained([0.5], false);
      let [theta, m, v] = [0.5, 0, 0];
      for (const [i, g] of steps.entries()) {
        apply(0, g);
        m = 0.9 * m + 0.1 * g;
        v = 0.99 * v + 0.01 * g * g;
        const [mean, square] = [m / (1 - 0.9 ** (i + 1)), v / (1 - 0.99 ** (i + 1))];
        theta -= (0.01 * mean) / (Math.sqrt(square) + 1e-8);
      }
      assert.ok(Math.abs(parameters[0] - theta) < 1e-4, `${parameters[0]} ${theta}`);
    }),
  );
});

test('a gradient of zero moves nothing at first', () => {
  const { parameters, apply } = trained([1, -1], false);
  apply(0, 0, 0);
  assert.deepEqual([...parameters], [1, -1]);
});

test('an average follows the parameters, soon at first and then by its decay', () => {
  const after = (updates: number): number => {
    const { parameters, average, apply } = trained([8], true, updates - 1);
    average.set([16]);
    apply(0, 0);
    assert.equal(parameters[0], 8);
    return average[0];
  };
  // (1 + 1) / (10 + 1) at first; (1 + n) / (10 + n) is 0.5 with n = 8, and then the decay counts.
  assert.ok(Math.abs(after(1) - ((16 * 2) / 11 + (8 * 9) / 11)) < 1e-6);
  assert.deepEqual([after(8), after(9), after(1000)], [12, 12, 12]);
});

test('where no average is kept, none comes', () => {
  const { average, apply } = trained([1], false);
  apply(0, 1);
  assert.equal(average.length, 0);
});

test('running statistics keep their share, and others stay as they are', () => {
  const { statistics, apply } = trained([1], false);
  statistics.set([3, 8]);
  apply(4, 0);
  assert.deepEqual([...statistics], [3, 7]);
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
