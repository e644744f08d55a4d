// The text that a step graph becomes for XLA: operations and types, packed vectors, memory given
// away, and precisions. What the text computes is compared on a plugin, in test/xla.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLayout } from '../../../shared/layout.js';
import type { NamedTensors } from '../../../task/task.js';
import {
  lowerToStablehlo,
  stablehloPorts,
  type StablehloOptions,
} from '../../../trace/lower/stablehlo/lower.js';
import { trace, type TensorFunction } from '../../../trace/trace.js';

const vector = (name: string, size = 3) => ({ name, shape: [size] });

function textOf(shapes: Record<string, number[]>, f: TensorFunction, options?: StablehloOptions) {
  const inputs = Object.entries(shapes).map(([name, shape]) => ({ name, shape }));
  return lowerToStablehlo(trace(inputs, f), options);
}

describe('a step graph as StableHLO text', () => {
  it('is a function of typed operations, each written once', () => {
    const text = textOf({ x: [2, 3], y: [3] }, ({ x, y }) => {
      const sum = tf.add(x, y);
      return { twice: tf.mul(sum, 2), positive: tf.relu(sum), again: tf.add(x, y) };
    });
    assert.equal(
      text,
      `module @step {
  func.func public @main(%arg0: tensor<2x3xf32>, %arg1: tensor<3xf32>) \
-> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) {
    %0 = stablehlo.constant dense<2.0e+0> : tensor<f32>
    %1 = stablehlo.broadcast_in_dim %arg1, dims = [1] : (tensor<3xf32>) -> tensor<2x3xf32>
    %2 = stablehlo.add %arg0, %1 : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
    %3 = stablehlo.broadcast_in_dim %0, dims = [] : (tensor<f32>) -> tensor<2x3xf32>
    %4 = stablehlo.multiply %2, %3 : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
    %5 = stablehlo.constant dense<0.0e+0> : tensor<f32>
    %6 = stablehlo.broadcast_in_dim %5, dims = [] : (tensor<f32>) -> tensor<2x3xf32>
    %7 = stablehlo.maximum %2, %6 : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
    return %4, %7, %2 : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>
  }
}
`,
    );
  });

  it('writes numbers so that they come back the same', () => {
    const values = [0.1, -1e-8, 3, 1e30, Infinity, -Infinity, -0];
    for (const value of values) {
      const text = textOf({ x: [1] }, ({ x }) => ({ y: tf.maximum(x, tf.scalar(value)) }));
      const [, written] = /dense<([^>]*)>/.exec(text)!;
      const read = written.startsWith('0x')
        ? new Float32Array(Uint32Array.of(Number(written)).buffer)[0]
        : Number(written);
      assert.ok(Object.is(Math.fround(read), Math.fround(value)), `${value}: ${written}`);
      assert.match(written, /^(-?\d+\.\d+e[+-]\d+|0x[0-9A-F]{8})$/);
    }
    const text = textOf({ x: [2] }, ({ x }) => ({ y: tf.mul(x, tf.tensor1d([1, -2])) }));
    assert.match(text, /dense<"0x0000803F000000C0"> : tensor<2xf32>/);
  });

  it('takes inputs from flat vectors and packs outputs into one, with what is missing as 0', () => {
    const graph = trace([vector('x', 1), vector('b', 2), vector('a', 4)], ({ x, a, b }) => ({
      loss: tf.sum(tf.add(x, 1)),
      a: tf.mul(a, 2),
      b: tf.mul(b, 2),
    }));
    const parameters = createLayout([
      { name: 'a', shape: [2, 2] },
      { name: 'unused', shape: [5] },
      { name: 'b', shape: [2] },
    ]);
    const reduced = createLayout([vector('b', 2), vector('vote', 1), vector('a', 4)]);
    const packing = {
      inputs: [{ name: 'parameters', layout: parameters }],
      outputs: [{ name: 'vector', layout: reduced }],
    };
    assert.deepEqual(stablehloPorts(graph, packing), {
      arguments: [vector('parameters', 11), vector('x', 1)],
      results: [vector('vector', 7), { name: 'loss', shape: [] }],
    });
    const text = lowerToStablehlo(graph, packing);
    assert.match(text, /@main\(%arg0: tensor<11xf32>, %arg1: tensor<1xf32>\)/);
    assert.match(text, /slice %arg0 \[9:11\]/);
    assert.match(text, /concatenate .* dim = 0 : \(tensor<2xf32>, tensor<1xf32>, tensor<4xf32>\)/);
  });

  it('gives the memory of arguments to results', () => {
    const f = ({ p, g }: NamedTensors) => ({ after: tf.sub(p, g) });
    const text = textOf({ p: [4], g: [4] }, f, { donate: { p: 'after' } });
    assert.match(
      text,
      /%arg0: tensor<4xf32> \{tf.aliasing_output = 0 : i32\}, %arg1: tensor<4xf32>\)/,
    );
    assert.throws(() => textOf({ p: [4], g: [4] }, f, { donate: { p: 'x' } }), /no result 'x'/);
    assert.throws(() => textOf({ p: [4], g: [4] }, f, { donate: { x: 'after' } }), /argument 'x'/);
  });

  it('narrows the operands of convolutions and products only, and only when asked', () => {
    const shapes = { x: [1, 4, 4, 2], w: [3, 3, 2, 2], d: [2, 2] };
    const f = ({ x, w, d }: NamedTensors) => {
      const y = tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same');
      return { y: tf.tanh(tf.matMul(tf.reshape(y, [16, 2]), d)) };
    };
    const exact = textOf(shapes, f);
    assert.ok(!exact.includes('bf16') && !exact.includes('DEFAULT'), exact);
    assert.equal(exact.match(/HIGHEST/g)!.length, 4);
    const tf32 = textOf(shapes, f, { precision: 'tf32' });
    assert.equal(tf32, exact.replaceAll('HIGHEST', 'DEFAULT'));
    const narrow = textOf(shapes, f, { precision: 'bfloat16' });
    assert.match(narrow, /convolution.* -> tensor<1x4x4x2xbf16>/);
    assert.match(
      narrow,
      /dot_general.*\(tensor<16x2xbf16>, tensor<2x2xbf16>\) -> tensor<16x2xf32>/,
    );
    assert.match(narrow, /tanh %\d+ : \(tensor<16x2xf32>\)/);
  });

  it('names a kernel that it does not know', () => {
    const graph = trace([vector('x')], ({ x }) => ({ y: tf.relu(x) }));
    const nodes = graph.nodes.map((node) => ({ ...node, kernel: 'Warp' }));
    assert.throws(() => lowerToStablehlo({ ...graph, nodes }), /kernel Warp .*StableHLO/);
  });
});
