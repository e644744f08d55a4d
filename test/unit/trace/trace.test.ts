// What a trace is: names, shapes, kernels, and what it refuses.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { batchNormTraining } from '../../../task/ops/gradients.js';
import { record, trace } from '../../../trace/trace.js';

const spec = (name: string, ...shape: number[]) => ({ name, shape });
const kernelsOf = (graph: { nodes: readonly { kernel: string }[] }) =>
  graph.nodes.map(({ kernel }) => kernel);

describe('trace', () => {
  it('keeps names, order and shapes of inputs and outputs', () => {
    const graph = trace([spec('x', 2, 3), spec('unused', 4)], ({ x }) => ({
      sum: tf.sum(x, 1),
      same: x,
    }));
    assert.deepEqual(
      graph.inputs.map(({ name }) => name),
      ['x', 'unused'],
    );
    assert.deepEqual(
      graph.outputs.map(({ name }) => name),
      ['sum', 'same'],
    );
    assert.deepEqual(graph.values[graph.outputs[0].value].shape, [2]);
    assert.equal(graph.outputs[1].value, graph.inputs[0].value);
    assert.deepEqual(graph.nodes[0].attrs, { axes: [1], keepDims: false });
  });

  it('resolves the geometry of convolutions', () => {
    const graph = trace([spec('x', 1, 6, 7, 2), spec('w', 3, 3, 2, 5)], ({ x, w }) => ({
      y: tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 2, 'same'),
    }));
    assert.deepEqual(graph.nodes[0].attrs, {
      strides: [2, 2],
      dilations: [1, 1],
      padding: [0, 1, 1, 1],
    });
    assert.deepEqual(graph.values[graph.outputs[0].value].shape, [1, 3, 4, 5]);
  });

  it('keeps batch normalization and its gradient one kernel each', () => {
    const graph = trace([spec('x', 2, 3, 3, 4), spec('s', 4), spec('o', 4)], (inputs) => {
      const f = (x: tf.Tensor, s: tf.Tensor, o: tf.Tensor): tf.Scalar => {
        const { y } = batchNormTraining(x as tf.Tensor4D, s as tf.Tensor1D, o as tf.Tensor1D, 1e-5);
        return tf.sum(tf.mul(y, y));
      };
      const [dx, ds, doffset] = tf.grads(f)([inputs['x'], inputs['s'], inputs['o']]);
      return { dx: dx, ds: ds, doffset: doffset };
    });
    const counted = kernelsOf(graph).filter((kernel) => kernel.startsWith('BatchNorm'));
    assert.deepEqual(counted, ['BatchNormTraining', 'BatchNormTrainingGrad']);
  });

  it('refuses to read a value, and says why', () => {
    const readers: ((x: tf.Tensor) => unknown)[] = [
      (x) => x.dataSync(),
      (x) => x.arraySync(),
      (x) => (x.dataSync()[0] > 0 ? x : tf.neg(x)),
    ];
    for (const reader of readers)
      assert.throws(
        () =>
          trace([spec('x', 2)], ({ x }) => {
            reader(x);
            return { y: x };
          }),
        /a value was read while tracing/,
      );
  });

  it('names a kernel that it cannot record', () => {
    assert.throws(
      () => trace([spec('x', 4)], ({ x }) => ({ y: tf.cumsum(x) })),
      /kernel Cumsum has no recording/,
    );
  });

  it('leaves the backend of before in place, also after an error', () => {
    const before = tf.getBackend();
    assert.throws(() => trace([spec('x', 4)], ({ x }) => ({ y: tf.cumsum(x) })));
    trace([spec('x', 4)], ({ x }) => ({ y: tf.neg(x) }));
    assert.equal(tf.engine().backendName, before);
  });

  it('gives the same graph twice', () => {
    const f = ({ x }: Record<string, tf.Tensor>) => ({ y: tf.tanh(tf.add(x, 1)) });
    const [a, b] = [trace([spec('x', 4)], f), trace([spec('x', 4)], f)];
    assert.deepEqual(a, b);
  });
});

describe('simplification', () => {
  const cases: [string, (x: tf.Tensor) => tf.Tensor, string[]][] = [
    ['shares common subexpressions', (x) => tf.add(tf.tanh(x), tf.tanh(x)), ['Tanh', 'Add']],
    ['drops what nothing needs', (x) => (tf.exp(x), tf.tanh(x)), ['Tanh']],
    ['drops x * 1, x + 0, x / 1, x - 0', (x) => tf.sub(tf.div(tf.add(tf.mul(x, 1), 0), 1), 0), []],
    ['folds constants', (x) => tf.mul(x, tf.add(tf.scalar(1), tf.neg(tf.scalar(0)))), []],
    ['joins reshapes', (x) => tf.reshape(tf.reshape(x, [6]), [3, 2]), ['Reshape']],
    ['drops reshapes there and back', (x) => tf.reshape(tf.reshape(x, [6]), [2, 3]), []],
    [
      'makes a product with ones a broadcast',
      (x) => tf.mul(x, tf.ones([4, 2, 3])),
      ['BroadcastTo'],
    ],
    ['makes x * 0 zeros', (x) => tf.add(x, tf.mul(tf.tanh(x), 0)), []],
    [
      'keeps what differs in attributes',
      (x) => tf.add(tf.sum(x, 0), tf.sum(x, 0, true)),
      ['Sum', 'Sum', 'Add'],
    ],
  ];
  for (const [name, f, kernels] of cases)
    it(name, () => {
      const graph = trace([spec('x', 2, 3)], ({ x }) => ({ y: f(x) }));
      assert.deepEqual(kernelsOf(graph), kernels);
    });

  it('writes every value before its use', () => {
    const graph = trace([spec('x', 2, 3)], ({ x }) => ({ y: tf.sum(tf.softplus(tf.square(x))) }));
    const known = new Set([...graph.inputs.map(({ value }) => value), ...graph.constants.keys()]);
    for (const node of graph.nodes) {
      for (const id of Object.values(node.inputs)) assert.ok(known.has(id));
      node.outputs.forEach((id) => known.add(id));
    }
    for (const { value } of graph.outputs) assert.ok(known.has(value));
  });

  it('only ever makes a graph smaller', () => {
    const f = ({ x }: Record<string, tf.Tensor>) => ({
      y: tf.grad((a) => tf.mean(tf.square(a)))(x),
    });
    const inputs = [spec('x', 2, 3)];
    assert.ok(trace(inputs, f).nodes.length < record(inputs, f).nodes.length);
  });
});
