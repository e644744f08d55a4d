// One ONNX model for pictures of any size: what it gives at sizes it was not traced at, and what
// is refused because it cannot be had at any size.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import * as ort from 'onnxruntime-node';
import { createLayout, viewsOf } from '../../../shared/layout.js';
import { loadReferenceBackend } from '../../support/reference-backend.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { NamedTensors } from '../../../task/task.js';
import { lowerDynamic, lowerToModel } from '../../../trace/lower/onnx/lower.js';
import { trace } from '../../../trace/trace.js';
import { tinyPatchSpec, tinySpec } from '../../support/engine/engine-specs.js';
import { randomInputs, relativeError, runEagerly } from '../../support/engine/graph-parity.js';

const traced = [
  [1, 8, 9, 3],
  [2, 11, 14, 3],
] as const;

const symbolicDims = { input: ['n', 'h', 'w', 3], y: ['n', 'H', 'W', 3] };

describe('models for any size', () => {
  before(loadReferenceBackend);

  for (const [name, spec] of [
    ['PReLU and pixel shuffle', tinySpec()],
    ['nearest neighbours on the bicubic picture', tinyPatchSpec()],
  ] as const)
    it(`agrees with TF.js at other sizes: ${name}`, async () => {
      const task = createSrganTask(spec);
      const { parameters, statistics } = task.networks[0];
      const tensors = [...parameters, ...statistics];
      const embed = {
        ...viewsOf(createLayout(parameters), task.initialParameters('generator', 1)),
        ...viewsOf(createLayout(statistics), task.initialStatistics('generator')),
      };
      const run = (inputs: NamedTensors) => ({ y: task.inference.run(inputs) });
      const [one, other] = traced.map((shape) =>
        trace([{ name: 'input', shape }, ...tensors], run),
      );
      const model = lowerDynamic(one, other, { embed, symbolicDims });
      const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1 });
      for (const shape of [
        [1, 8, 9, 3],
        [1, 3, 17, 3],
        [3, 13, 5, 3],
      ]) {
        const inputs = [{ name: 'input', shape }, ...tensors];
        const values = { ...randomInputs([{ name: 'input', shape }], 9), ...embed };
        const expected = runEagerly(inputs, run, values)['y'];
        const input = new ort.Tensor('float32', values.input, shape);
        const { y } = await session.run({ input });
        assert.deepEqual(y.dims, [shape[0], 4 * shape[1], 4 * shape[2], 3]);
        assert.ok(relativeError(y.data as Float32Array, expected) < 1e-5);
      }
      await session.release();
    });

  it('uses standard operators only', () => {
    const task = createSrganTask(tinySpec());
    const { parameters, statistics } = task.networks[0];
    const inputs = [{ name: 'input', shape: traced[0] }, ...parameters, ...statistics];
    const graph = trace(inputs, (given) => ({ y: task.inference.run(given) }));
    assert.deepEqual(new Set(lowerToModel(graph).nodes.map(({ domain }) => domain)), new Set(['']));
  });

  it('refuses a function that needs the size, naming the node', () => {
    const lower = (f: (x: tf.Tensor) => tf.Tensor): Uint8Array => {
      const [one, other] = traced.map((shape) =>
        trace([{ name: 'input', shape }], ({ input }) => ({ y: f(input) })),
      );
      return lowerDynamic(one, other, { symbolicDims });
    };
    assert.throws(() => lower((x) => tf.mul(x, 1 / x.shape[1]!)), /depends on the size.*Mul/);
    assert.throws(
      () => lower((x) => tf.reshape(tf.relu(tf.reshape(x, [-1, 3])), x.shape)),
      /depends on the size/,
    );
    lower((x) =>
      tf.concat([tf.slice(x, [0, 1, 0, 0]), tf.slice(x, [0, x.shape[1]! - 1, 0, 0])], 1),
    );
  });

  it('refuses an input and an output of one name', () => {
    const graph = trace([{ name: 'x', shape: [2] }], ({ x }) => ({ x: tf.neg(x) }));
    assert.throws(() => lowerToModel(graph), /both named 'x'/);
  });
});
