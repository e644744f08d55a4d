// Every kernel that the engine xla can lower, at odd shapes, strides and paddings, against TF.js's
// own CPU backend: in float32, in bfloat16 with its own bound, and a kernel that it can't.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Precision } from '../../shared/spec/schema.js';
import type { NamedTensors } from '../../task/task.js';
import { stablehloLowerings } from '../../trace/lower/stablehlo/lower.js';
import { createEngine } from '../../worker/engine/create-engine.js';
import type { Engine } from '../../worker/engine/engine.js';
import { randomInputs, runTraced } from '../support/engine/graph-parity.js';
import { testKernels } from '../support/engine/kernel-cases.js';
import { loadReferenceBackend } from '../support/engine/reference-backend.js';
import { skipWithoutXla } from '../support/servers.js';

// Operands of bfloat16 have 8 bits: 2^-9 of a value is lost by each, and as much by the result.
for (const [precision, tolerance] of [
  ['float32', 1e-5],
  ['bfloat16', 1e-2],
] as const satisfies readonly [Precision, number][])
  describe(`kernels on the engine xla in ${precision}`, { skip: skipWithoutXla }, () => {
    let engine: Engine;
    before(async () => {
      engine = await createEngine('xla', { threads: 1, precision });
      await loadReferenceBackend();
    });
    after(() => engine.close());

    testKernels(() => engine, stablehloLowerings, { tolerance });

    it('leaves no buffer behind', () => assert.equal(engine.nativeTensors(), 0));

    it('names an op without a lowering, and the engine that needs none', async () => {
      const f = ({ x }: NamedTensors) => ({ y: tf.cumsum(x) });
      await assert.rejects(
        async () => engine.compile([{ name: 'x', shape: [4] }], f),
        /engine\.name: given "xla"; allowed: tensorflow-eager.*Cumsum/,
      );
    });
  });

/** [filter, strides, dilations, padding of rows, of columns], of a picture of 8x7. */
const geometries = [
  [
    [3, 2],
    [1, 1],
    [2, 3],
    [0, 0],
    [1, 2],
  ],
  [
    [2, 3],
    [2, 1],
    [3, 1],
    [4, 3],
    [2, 0],
  ],
  [
    [3, 3],
    [3, 2],
    [2, 2],
    [1, 5],
    [0, 3],
  ],
  [
    [1, 4],
    [2, 3],
    [1, 2],
    [3, 0],
    [5, 1],
  ],
  [
    [4, 4],
    [1, 3],
    [1, 1],
    [5, 5],
    [0, 0],
  ],
] as const;

// TF.js has no gradients of a convolution that is dilated or moves otherwise down than across. But
// whatever the geometry, <conv(x, w), dy> = <x, dx> = <w, dw>, and `conv` is compared above.
describe('gradients of any convolution on the engine xla', { skip: skipWithoutXla }, () => {
  let engine: Engine;
  before(async () => {
    engine = await createEngine('xla', { threads: 1 });
  });
  after(() => engine.close());

  for (const [filter, strides, dilations, rows, columns] of geometries)
    it(`are its transposes: ${JSON.stringify([filter, strides, dilations, rows, columns])}`, async () => {
      const attrs = {
        strides,
        dilations,
        pad: [[0, 0], rows, columns, [0, 0]],
        dataFormat: 'NHWC',
      };
      const kernel = (name: string, inputs: NamedTensors, more = {}) =>
        tf.engine().runKernel<tf.Tensor>(name, inputs, { ...attrs, ...more });
      const [x, w] = [
        [2, 8, 7, 2],
        [...filter, 2, 3],
      ];
      const extent = (axis: 0 | 1) => {
        const reach = (filter[axis] - 1) * dilations[axis] + 1;
        const whole = x[1 + axis] + [rows, columns][axis][0] + [rows, columns][axis][1];
        return Math.floor((whole - reach) / strides[axis]) + 1;
      };
      const dy = [2, extent(0), extent(1), 3];
      const inputs = Object.entries({ x, w, dy }).map(([name, shape]) => ({ name, shape }));
      const values = randomInputs(inputs, 17);
      const results = await runTraced(
        engine,
        inputs,
        ({ x, w, dy }) => ({
          y: kernel('Conv2D', { x, filter: w }),
          dx: kernel('Conv2DBackpropInput', { dy, filter: w }, { inputShape: x.shape }),
          dw: kernel('Conv2DBackpropFilter', { x, dy }, { filterShape: w.shape }),
        }),
        values,
      );
      const expected = dot(results['y'], values['dy']);
      for (const name of ['x', 'w']) {
        const actual = dot(results[`d${name}`], values[name]);
        assert.ok(Math.abs(actual - expected) < 1e-4, `d${name}: ${actual}, ${expected}`);
      }
    });
});

function dot(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}
