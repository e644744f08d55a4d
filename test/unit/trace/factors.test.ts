// Outputs that are products of two matrices: which are found, and that their factors are theirs.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { factorNames, findProducts, withFactors } from '../../../trace/factors.js';
import { trace, type TensorFunction } from '../../../trace/trace.js';
import { createOnnxEngine } from '../../../worker/engine/onnx-engine.js';
import { randomInputs } from '../../support/engine/graph-parity.js';

const inputs = [
  { name: 'x', shape: [3, 4] },
  { name: 'y', shape: [3, 5] },
  { name: 'z', shape: [5, 3] },
];

const products: TensorFunction = ({ x, y, z }) => ({
  plain: tf.matMul(tf.relu(x), y, true),
  reshaped: tf.reshape(tf.matMul(x, y, true), [20]),
  transposed: tf.matMul(tf.transpose(x), tf.mul(y, 2)),
  both: tf.matMul(tf.transpose(x), tf.transpose(z)),
});

const others: TensorFunction = ({ x, y, z }) => ({
  scaled: tf.mul(tf.matMul(x, y, true), 3),
  sum: tf.add(tf.matMul(x, y, true), tf.matMul(x, y, true)),
  // Its factors are not there: they would have to be transposed.
  right: tf.matMul(x, z, true, true),
  forward: tf.matMul(z, x),
  stack: tf.matMul(tf.reshape(x, [3, 2, 2]), tf.reshape(x, [3, 2, 2]), true),
});

describe('the factors of an output', () => {
  it('are found where it is a product X^T Y of them, in whatever form', () => {
    const found = findProducts(trace(inputs, products));
    const expected = ['plain', 'reshaped', 'transposed', 'both'];
    assert.deepEqual(
      found,
      expected.map((name) => ({ name, rows: 3, left: 4, right: 5 })),
    );
    assert.deepEqual(findProducts(trace(inputs, others)), []);
  });

  it('come out in its place, and multiply to it', async () => {
    const engine = createOnnxEngine({ threads: 1 });
    const values = randomInputs(inputs, 1);
    const names = findProducts(trace(inputs, products)).map(({ name }) => name);
    const whole = await engine.compile(inputs, products);
    const split = await engine.compile(inputs, products, names);
    for (const name of names) {
      const [x, y] = [new Float32Array(12), new Float32Array(15)];
      const [left, right] = factorNames(name);
      await split.run(values, { [left]: x, [right]: y });
      const expected = new Float32Array(20);
      await whole.run(values, { [name]: expected });
      expected.forEach((value, i) => {
        const [a, b] = [Math.floor(i / 5), i % 5];
        const sum = [0, 1, 2].reduce((s, row) => s + x[4 * row + a] * y[5 * row + b], 0);
        assert.ok(Math.abs(sum - value) < 1e-6, `${name} ${i}`);
      });
    }
    await whole.close();
    await split.close();
  });

  it('leave nothing of a product behind, and are refused of others', () => {
    const graph = trace(inputs, ({ x, y }) => ({ p: tf.matMul(x, y, true), q: tf.relu(x) }));
    const { nodes, outputs } = withFactors(graph, ['p']);
    assert.deepEqual(
      outputs.map(({ name }) => name),
      ['p/left', 'p/right', 'q'],
    );
    assert.deepEqual(
      nodes.map(({ kernel }) => kernel),
      ['Relu'],
    );
    assert.throws(() => withFactors(graph, ['q']), /'q' is no product/);
  });
});
