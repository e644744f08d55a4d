// One ONNX model for pictures of any size: what is refused because it cannot be had at any size.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSrganTask } from '../../../task/srgan/task.js';
import { lowerDynamic, lowerToModel } from '../../../trace/lower/onnx/lower.js';
import { trace } from '../../../trace/trace.js';
import { tinySpec } from '../../support/engine/srgan-specs.js';

const traced = [
  [1, 8, 9, 3],
  [2, 11, 14, 3],
] as const;

const symbolicDims = { input: ['n', 'h', 'w', 3], y: ['n', 'H', 'W', 3] };

describe('models for any size', () => {
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
