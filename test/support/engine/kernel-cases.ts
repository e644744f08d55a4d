// A table of small functions that between them use every kernel the trace can record, at odd
// shapes, strides and paddings.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { TensorSpec } from '../../../shared/layout.js';
import { batchNormTraining } from '../../../task/ops/gradients.js';
import { avgPoolHalving, maxPoolHalving, maxPoolOverlapping } from '../../../task/ops/pooling.js';
import type { NamedTensors } from '../../../task/task.js';
import { trace } from '../../../trace/trace.js';
import type { Engine } from '../../../worker/engine/engine.js';
import { assertClose, randomInputs, runEagerly, runTraced } from './graph-parity.js';

interface KernelCase {
  readonly name: string;
  readonly shapes: Readonly<Record<string, number[]>>;
  run(inputs: NamedTensors): tf.Tensor | NamedTensors;
}

const kernelCase = (
  name: string,
  shapes: Record<string, number[]>,
  run: (inputs: never) => tf.Tensor | NamedTensors,
): KernelCase => ({ name, shapes, run: run });

type X = { x: tf.Tensor4D };
type XY = { x: tf.Tensor; y: tf.Tensor };
type Convolution = { x: tf.Tensor4D; w: tf.Tensor4D; b: tf.Tensor1D };

const float = (x: tf.Tensor) => tf.cast(x, 'float32');
const positive = (x: tf.Tensor) => tf.add(tf.abs(x), 0.1);

const unary: [string, (x: tf.Tensor) => tf.Tensor][] = [
  ['neg', tf.neg],
  ['abs', tf.abs],
  ['sign', tf.sign],
  ['square', tf.square],
  ['sqrt', (x) => tf.sqrt(positive(x))],
  ['rsqrt', (x) => tf.rsqrt(positive(x))],
  ['reciprocal', (x) => tf.reciprocal(positive(x))],
  ['exp', tf.exp],
  ['log', (x) => tf.log(positive(x))],
  ['log1p', (x) => tf.log1p(positive(x))],
  ['sigmoid', tf.sigmoid],
  ['tanh', tf.tanh],
  ['softplus', tf.softplus],
  ['relu', tf.relu],
  ['relu6', (x) => tf.relu6(tf.mul(x, 10))],
  ['floor', (x) => tf.floor(tf.mul(x, 3))],
  ['step', (x) => tf.step(x, 0.3)],
  ['leakyRelu', (x) => tf.leakyRelu(x, 0.2)],
  ['clip', (x) => tf.clipByValue(x, -0.5, 0.25)],
  ['cast there and back', (x) => tf.cast(tf.cast(tf.mul(x, 5), 'int32'), 'float32')],
];

const binary: [string, (x: tf.Tensor, y: tf.Tensor) => tf.Tensor][] = [
  ['add', tf.add],
  ['sub', tf.sub],
  ['mul', tf.mul],
  ['div', (x, y) => tf.div(x, positive(y))],
  ['pow', (x, y) => tf.pow(positive(x), y)],
  ['maximum', tf.maximum],
  ['minimum', tf.minimum],
  ['squaredDifference', tf.squaredDifference],
  ['where greater', (x, y) => tf.where(tf.greater(x, y), x, tf.mul(y, 2))],
  ['where less or equal', (x, y) => tf.where(tf.lessEqual(x, y), x, tf.neg(y))],
  ['comparisons', (x, y) => float(tf.logicalAnd(tf.less(x, y), tf.greaterEqual(x, -0.5)))],
  ['logic', (x, y) => float(tf.logicalOr(tf.equal(x, y), tf.logicalNot(tf.notEqual(x, x))))],
  ['addN', (x, y) => tf.addN([x, tf.mul(x, tf.mean(y)), x])],
];

const pairs: [string, number[], number[]][] = [
  ['equal shapes', [2, 3, 5, 4], [2, 3, 5, 4]],
  ['a value a channel', [2, 3, 5, 4], [4]],
  ['both broadcast', [2, 1, 5, 1], [3, 1, 4]],
  ['a scalar', [3, 5], []],
];

const reductions: [string, (x: tf.Tensor) => tf.Tensor][] = [
  ['sum of all', (x) => tf.sum(x)],
  ['sum over pixels', (x) => tf.sum(x, [0, 1, 2])],
  ['sum over the last, kept', (x) => tf.sum(x, -1, true)],
  ['mean over rows and columns', (x) => tf.mean(x, [1, 2])],
  ['mean of a broadcast', (x) => tf.mean(tf.broadcastTo(tf.sum(x, 0, true), [5, 3, 5, 4]), 0)],
  ['sum of a broadcast', (x) => tf.sum(tf.broadcastTo(tf.sum(x, 0, true), [5, 3, 5, 4]), [0, 1])],
  ['max', (x) => tf.max(x, [1, 3])],
  ['min', (x) => tf.min(x, [0], true)],
];

/** "01 20": nothing before and one behind the first axis, two before the second. */
const paddings = (text: string) =>
  text.split(' ').map(([before, behind]): [number, number] => [Number(before), Number(behind)]);

const movements: [string, (x: tf.Tensor4D) => tf.Tensor | NamedTensors][] = [
  ['reshape', (x) => tf.reshape(x, [6, 20])],
  ['expandDims', (x) => tf.add(tf.expandDims(tf.sum(x, 1), 1), x)],
  ['transpose', (x) => tf.transpose(x, [2, 0, 3, 1])],
  ['transpose of a broadcast', (x) => tf.transpose(tf.broadcastTo(tf.sum(x, 3, true), x.shape))],
  ['tile', (x) => tf.tile(x, [1, 2, 1, 3])],
  ['product with ones', (x) => tf.reshape(tf.mul(x, tf.ones([3, 2, 3, 5, 4])), [6, 3, 5, 4])],
  ['tile of ones', (x) => tf.mul(tf.tile(tf.sum(x, 2, true), [1, 1, 5, 1]), x)],
  ['concat', (x) => tf.concat([x, tf.neg(x), tf.ones([2, 3, 5, 4])], 2)],
  ['concat of channels', (x) => tf.concat([x, tf.tanh(x)], -1)],
  ['slice', (x) => tf.slice(x, [1, 0, 2, 1], [1, 3, 2, -1])],
  ['slice of ends', (x) => tf.slice(x, [0, 2, 4, 0], [2, 1, 1, 4])],
  ['split', (x) => ({ ...tf.split(x, [1, 2, 2], 2) }) as unknown as NamedTensors],
  ['pad', (x) => tf.pad(x, paddings('01 20 00 11'), 0.5)],
  ['mirrorPad', (x) => tf.mirrorPad(x, paddings('00 21 22 00'), 'reflect')],
  ['constants', (x) => tf.add(tf.mul(tf.tensor1d([1, 2, 3, 4]), x), tf.zerosLike(x))],
  ['onesLike', (x) => ({ ones: tf.onesLike(x), filled: tf.fill([2, 2], 3) })],
];

const convolutions: [string, number[], number[], number, 'same' | 'valid' | number][] = [
  ['1x1', [2, 5, 6, 3], [1, 1, 3, 4], 1, 'same'],
  ['3x3 same', [2, 5, 6, 3], [3, 3, 3, 4], 1, 'same'],
  ['3x3 valid', [1, 7, 5, 2], [3, 3, 2, 3], 1, 'valid'],
  ['3x3 stride 2, even', [2, 8, 6, 3], [3, 3, 3, 4], 2, 'same'],
  ['3x3 stride 2, odd', [2, 7, 9, 3], [3, 3, 3, 4], 2, 'same'],
  ['3x3 stride 2, valid', [1, 8, 9, 2], [3, 3, 2, 3], 2, 'valid'],
  ['3x3 stride 2 of many channels', [2, 6, 6, 16], [3, 3, 16, 24], 2, 'same'],
  ['4x4 stride 2', [2, 8, 8, 3], [4, 4, 3, 5], 2, 'same'],
  ['2x2 stride 3, rows left over', [1, 8, 8, 2], [2, 2, 2, 3], 3, 'valid'],
  ['1x1 stride 2', [1, 5, 6, 2], [1, 1, 2, 3], 2, 'same'],
  ['explicit padding', [1, 6, 6, 2], [3, 3, 2, 3], 1, 2],
  ['9x9 from few channels', [1, 10, 11, 3], [9, 9, 3, 8], 1, 'same'],
  ['9x9 to few channels', [1, 10, 11, 16], [9, 9, 16, 3], 1, 'same'],
  ['5x5 to one channel, valid', [2, 8, 9, 8], [5, 5, 8, 1], 1, 'valid'],
  ['to many channels', [1, 5, 5, 2], [3, 3, 2, 20], 1, 'same'],
];

const pools: [string, number[], (x: tf.Tensor4D) => tf.Tensor][] = [
  ['maxPool 2x2', [2, 4, 6, 3], (x) => tf.maxPool(x, 2, 2, 'valid')],
  ['maxPool 2x2 of odd extents', [1, 5, 7, 3], maxPoolHalving],
  ['maxPool 3x3 by 2', [2, 7, 9, 3], maxPoolOverlapping],
  ['maxPool 3x3 by 2 of even extents', [1, 6, 8, 4], maxPoolOverlapping],
  ['avgPool 2x2', [2, 4, 6, 3], (x) => tf.avgPool(x, 2, 2, 'valid')],
  ['avgPool 2x2 of odd extents', [1, 5, 7, 3], avgPoolHalving],
];

/** The value and all gradients of f, weighted so that every output value counts differently. */
function withGradients(tensors: NamedTensors, f: (t: NamedTensors) => tf.Tensor): NamedTensors {
  const names = Object.keys(tensors);
  const at = (list: tf.Tensor[]) => Object.fromEntries(names.map((name, i) => [name, list[i]]));
  const weighted = (...list: tf.Tensor[]) => {
    const y = f(at(list));
    const weights = tf.tensor(
      Float32Array.from({ length: y.size }, (_, i) => Math.cos(i)),
      y.shape,
    );
    return tf.sum<tf.Scalar>(tf.mul(y, weights));
  };
  const gradients = tf.grads(weighted)(names.map((name) => tensors[name]));
  const named = names.map((name, i) => [`d${name}`, gradients[i]]);
  return { y: f(tensors), ...(Object.fromEntries(named) as NamedTensors) };
}

const shape4 = [2, 3, 5, 4];

const activations: [string, (x: tf.Tensor) => tf.Tensor][] = [
  ['relu', tf.relu],
  ['leakyRelu', (x) => tf.leakyRelu(x, 0.2)],
  ['leakyRelu of slope 2', (x) => tf.leakyRelu(x, 2)],
];

const slopes: [string, number[], number[]][] = [
  ...[[4], [5, 4], [1, 1, 1, 4]].map((a): [string, number[], number[]] => [
    `slopes ${a.join('x')}`,
    shape4,
    a,
  ]),
  ['large', [2, 24, 24, 4], [4]],
];

/** All of them. */
const kernelCases: readonly KernelCase[] = [
  ...unary.map(([name, f]) => kernelCase(name, { x: shape4 }, ({ x }: X) => f(x))),
  ...binary.flatMap(([name, f]) =>
    pairs.map(([which, x, y]) =>
      kernelCase(`${name}, ${which}`, { x, y }, ({ x, y }: XY) => f(x, y)),
    ),
  ),
  ...reductions.map(([name, f]) => kernelCase(name, { x: shape4 }, ({ x }: X) => f(x))),
  ...movements.map(([name, f]) => kernelCase(name, { x: shape4 }, ({ x }: X) => f(x))),
  ...convolutions.map(([name, x, w, stride, pad]) =>
    kernelCase(`convolution ${name}`, { x, w, b: [w[3]] }, (t: Convolution) =>
      withGradients(t, ({ x, w, b }) =>
        tf.add(tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, pad), b),
      ),
    ),
  ),
  kernelCase('dilated convolution', { x: [1, 8, 7, 2], w: [3, 3, 2, 3] }, (t: Convolution) =>
    tf.conv2d(t.x, t.w, 1, 'same', 'NHWC', 2),
  ),
  ...[
    [3, 3],
    [24, 24],
  ].map(([h, w]) =>
    kernelCase(`batchNormTraining ${h}x${w}`, { x: [3, h, w, 4], s: [4], o: [4] }, (t: never) => {
      const run = ({ x, s, o }: NamedTensors) => {
        const shifted = tf.add<tf.Tensor4D>(x, tf.tensor1d([3, -2, 0, 1]));
        return batchNormTraining(shifted, s as tf.Tensor1D, o as tf.Tensor1D, 1e-3);
      };
      const { mean, variance } = run(t);
      return { ...withGradients(t, (inputs) => run(inputs).y), mean, variance };
    }),
  ),
  ...pools.map(([name, x, f]) =>
    kernelCase(`${name} with gradient`, { x }, (t: NamedTensors) =>
      withGradients(t, ({ x }) => f(x as tf.Tensor4D)),
    ),
  ),
  kernelCase('avgPool 3x3, stride 1', { x: [2, 5, 6, 3] }, ({ x }: X) =>
    tf.avgPool(x, 3, 1, 'valid'),
  ),
  kernelCase('batchNorm', { x: shape4, m: [4], v: [4], s: [4], o: [4] }, (t: NamedTensors) =>
    tf.batchNorm(t['x'], t['m'], positive(t['v']), t['o'], t['s']),
  ),
  ...activations.map(([name, f]) =>
    kernelCase(`${name} with gradient`, { x: shape4 }, (t: NamedTensors) =>
      withGradients(t, ({ x }) => f(x)),
    ),
  ),
  kernelCase('prelu', { x: shape4, a: [4] }, ({ x, a }: NamedTensors) => tf.prelu(x, a)),
  ...slopes.map(([name, x, a]) =>
    kernelCase(`prelu with gradient, ${name}`, { x, a }, (t: NamedTensors) =>
      withGradients(t, ({ x, a }) => tf.prelu(x, a)),
    ),
  ),
  kernelCase('pixelShuffle', { x: [2, 3, 5, 12] }, (t: NamedTensors) =>
    withGradients(t, ({ x }) => tf.depthToSpace(x as tf.Tensor4D, 2)),
  ),
  kernelCase('spaceToDepth', { x: [2, 4, 6, 3] }, ({ x }: NamedTensors) =>
    tf.engine().runKernel<tf.Tensor>('SpaceToDepth', { x }, { blockSize: 2 }),
  ),
  // One picture: TF.js's CPU backend reads the gradient of all others at the wrong place.
  kernelCase('resizeNearestNeighbor', { x: [1, 3, 5, 4] }, (t: NamedTensors) =>
    withGradients(t, ({ x }) => tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [6, 15])),
  ),
  ...[false, true].flatMap((a) =>
    [false, true].map((b) =>
      kernelCase(
        `matMul ${a ? 'A' : 'a'}${b ? 'B' : 'b'}`,
        { x: a ? [4, 3] : [3, 4], y: b ? [5, 4] : [4, 5] },
        (t: NamedTensors) => withGradients(t, ({ x, y }) => tf.matMul(x, y, a, b)),
      ),
    ),
  ),
  kernelCase('matMul of stacks', { x: [2, 3, 4], y: [2, 4, 5] }, (t: NamedTensors) =>
    withGradients(t, ({ x, y }) => tf.matMul(x, y)),
  ),
];

/** A case's inputs, and the case as a function from named inputs to named outputs. */
export function functionOf({ shapes, run }: KernelCase) {
  const inputs: TensorSpec[] = Object.entries(shapes).map(([name, shape]) => ({ name, shape }));
  const f = (given: NamedTensors): NamedTensors => {
    const result = run(given);
    return result instanceof tf.Tensor ? { y: result } : result;
  };
  return { inputs, f };
}

interface KernelTestOptions {
  /** Kernels that a preparation of the graph writes, so that no case has them. */
  readonly alsoIdle?: readonly string[];
  /** Largest difference of a tensor over its largest value. */
  readonly tolerance?: number;
}

/**
 * Every case on an engine against TF.js's own CPU backend, and that no lowering in `lowerings` is
 * left untried. What is folded away before any lowering need not be tried.
 */
export function testKernels(
  engine: () => Engine,
  lowerings: Readonly<Record<string, unknown>>,
  { alsoIdle = [], tolerance = 1e-5 }: KernelTestOptions = {},
): void {
  for (const each of kernelCases)
    it(each.name, async () => {
      const { inputs, f } = functionOf(each);
      const values = randomInputs(inputs, 11);
      const expected = runEagerly(inputs, f, values);
      assertClose(await runTraced(engine(), inputs, f, values), expected, tolerance);
    });

  it('leaves no lowering untried', () => {
    const tried = kernelCases.flatMap((each) => {
      const { inputs, f } = functionOf(each);
      return trace(inputs, f).nodes.map(({ kernel }) => kernel);
    });
    const idle = ['Identity', 'Fill', 'ZerosLike', 'OnesLike', 'ExpandDims', ...alsoIdle];
    const known = new Set([...tried, ...idle]);
    assert.deepEqual(
      Object.keys(lowerings).filter((kernel) => !known.has(kernel)),
      [],
    );
  });
}
