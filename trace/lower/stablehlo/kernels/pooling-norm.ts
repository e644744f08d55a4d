// Pooling and batch normalization, with their gradients, in plain operations, which XLA fuses.

import { sizeOf } from '../../../../shared/layout.js';
import { attribute, input, inputsOf, output, type KernelCall } from '../../lowering.js';
import {
  operandNames,
  type HloValue,
  type Reduction,
  type StablehloBuilder,
  type StablehloLowerings,
} from '../builder.js';

type Call = KernelCall<HloValue>;

/** Windows in pixels, the same both ways. */
interface PoolingWindow {
  readonly side: number;
  readonly stride: number;
}

const windowOf = (call: Call): PoolingWindow => ({
  side: attribute(call, 'side'),
  stride: attribute(call, 'stride'),
});

/** An operation on windows, with functions of two numbers (see `body`). */
function windows(
  b: StablehloBuilder,
  op: string,
  operands: readonly HloValue[],
  { side, stride }: PoolingWindow,
  shape: readonly number[],
  functions: readonly string[],
): HloValue {
  const attributes =
    `window_dimensions = array<i64: 1, ${side}, ${side}, 1>, ` +
    `window_strides = array<i64: 1, ${stride}, ${stride}, 1>`;
  const text = `"stablehlo.${op}"(${operandNames(operands)}) <{${attributes}}> `;
  return b.write(`${text}(${functions.join(', ')})`, operands, { shape, dtype: 'float32' });
}

/** A function that is one operation. */
function body(op: string, type = 'tensor<f32>'): string {
  return `{
^bb0(%a: tensor<f32>, %b: tensor<f32>):
  %c = stablehlo.${op} %a, %b : (tensor<f32>, tensor<f32>) -> ${type}
  stablehlo.return %c : ${type}
}`;
}

/** Reduces windows. */
function pool(
  b: StablehloBuilder,
  op: Reduction,
  x: HloValue,
  window: PoolingWindow,
  shape: readonly number[],
): HloValue {
  const operands = [x, b.neutral(op, 'float32')];
  return windows(b, 'reduce_window', operands, window, shape, [body(op)]);
}

/** x - mean, and 1 / sqrt(variance + epsilon); mean and variance are by channel. */
function normalizer(b: StablehloBuilder, call: Call, mean: HloValue, variance: HloValue) {
  const shifted = b.each('add', [variance, b.fill(attribute(call, 'epsilon'))]);
  return {
    centered: b.each('subtract', [input(call, 'x'), mean]),
    inverse: b.each('rsqrt', [shifted]),
  };
}

/** All but the channels. */
const pixels = [0, 1, 2] as const;

export const poolingNormToStablehlo: StablehloLowerings = {
  MaxPool: (b, call) => pool(b, 'maximum', input(call, 'x'), windowOf(call), output(call).shape),
  // To the first of several that are largest, as TF.js has it.
  MaxPoolGrad: (b, call) => {
    const operands = [...inputsOf(call, 'input', 'dy'), b.fill(0)];
    const functions = [body('compare GE,', 'tensor<i1>'), body('add')];
    return windows(
      b,
      'select_and_scatter',
      operands,
      windowOf(call),
      output(call).shape,
      functions,
    );
  },
  AvgPool: (b, call) => {
    const sums = pool(b, 'add', input(call, 'x'), windowOf(call), output(call).shape);
    return b.each('divide', [sums, b.fill(windowOf(call).side ** 2)]);
  },
  // Each pixel gets the sum of its windows' shares, which are set apart as the windows are.
  AvgPoolGrad: (b, call) => {
    const [{ side, stride }, { shape }] = [windowOf(call), output(call)];
    const shares = b.each('divide', [input(call, 'dy'), b.fill(side ** 2)]);
    const apart = shares.shape.map((n) => (n - 1) * stride + 1);
    const around = [1, 2].map((axis) => [side - 1, shape[axis] - apart[axis]] as const);
    const paddings = [[0, 0] as const, ...around, [0, 0] as const];
    const padded = b.pad(shares, b.fill(0), paddings, [0, stride - 1, stride - 1, 0]);
    return pool(b, 'add', padded, { side, stride: 1 }, shape);
  },
  BatchNormTraining: (b, call) => {
    const [x, scale, offset] = inputsOf(call, 'x', 'scale', 'offset');
    const average = b.mean(x, pixels);
    const distance = b.each('subtract', [x, average]);
    const variance = b.mean(b.each('multiply', [distance, distance]), pixels);
    const { centered, inverse } = normalizer(b, call, average, variance);
    const normal = b.each('multiply', [centered, inverse]);
    const scaled = b.each('multiply', [normal, scale]);
    return [b.each('add', [scaled, offset]), average, variance];
  },
  BatchNormTrainingGrad: (b, call) => {
    const [dy, x, scale] = inputsOf(call, 'dy', 'x', 'scale');
    const [average, variance] = inputsOf(call, 'mean', 'variance');
    const { centered, inverse } = normalizer(b, call, average, variance);
    const normal = b.each('multiply', [centered, inverse]);
    const dscale = b.reduce('add', b.each('multiply', [dy, normal]), pixels);
    const doffset = b.reduce('add', dy, pixels);
    const count = b.fill(sizeOf(pixels.map((axis) => x.shape[axis])));
    const along = b.each('multiply', [normal, dscale]);
    const shares = b.each('divide', [b.each('add', [doffset, along]), count]);
    const factor = b.each('multiply', [scale, inverse]);
    const dx = b.each('multiply', [factor, b.each('subtract', [dy, shares])]);
    return [dx, dscale, doffset];
  },
  FusedBatchNorm: (b, call) => {
    const [average, variance] = inputsOf(call, 'mean', 'variance');
    const { centered, inverse } = normalizer(b, call, average, variance);
    const { scale = b.fill(1), offset = b.fill(0) } = call.inputs;
    const factor = b.each('multiply', [inverse, scale]);
    const scaled = b.each('multiply', [centered, factor]);
    return b.each('add', [scaled, offset]);
  },
};
