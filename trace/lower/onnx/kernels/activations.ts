// Activations and their gradients. A choice by sign is arithmetic on slopes, not a branch: ONNX
// Runtime's PRelu and Where branch at every value, which costs eight passes over memory on values
// of random sign.

import type { OnnxBuilder } from '../builder.js';
import { attribute, input, outputShape, type KernelCall, type Lowering } from '../lowering.js';
import { filled, type OnnxValue } from '../value.js';
import { affine } from './batch-norm.js';
import { elementwise, scalar } from './elementwise.js';
import { channelDot, sumTo } from './reduction.js';

// Times this, any positive normal number is at least 1.
const huge = 1e38;

/** 1 where x > 0, else 0: HardSigmoid is max(0, min(1, alpha * x + beta)). */
function step(b: OnnxBuilder, x: OnnxValue): OnnxValue {
  const attrs = { alpha: { float: huge }, beta: { float: 0 } };
  return elementwise(b, 'HardSigmoid', [x], x.shape, 'float32', attrs);
}

/** 1 where x > 0, else `slope` (a number from 0 to 1). */
function constantSlopes(b: OnnxBuilder, x: OnnxValue, slope: number): OnnxValue {
  if (slope === 0) return step(b, x);
  const large = elementwise(b, 'Mul', [x, scalar(huge)], x.shape);
  return elementwise(b, 'Clip', [large, scalar(slope), scalar(1)], x.shape);
}

/** 1 where x > 0, else the channel's slope `alpha` [c]: step * (1 - alpha) + alpha. */
function channelSlopes(b: OnnxBuilder, x: OnnxValue, alpha: OnnxValue): OnnxValue {
  const rest = elementwise(b, 'Sub', [scalar(1), alpha], alpha.shape);
  return affine(b, step(b, x), rest, alpha);
}

/** Whether `alpha` is one slope a channel of [n, h, w, c]. */
function isByChannel(x: OnnxValue, alpha: OnnxValue): boolean {
  return x.shape.length === 4 && alpha.shape.length === 1 && alpha.shape[0] === x.shape[3];
}

function isPositive(b: OnnxBuilder, x: OnnxValue): OnnxValue {
  return elementwise(b, 'Greater', [x, scalar(0)], x.shape, 'bool');
}

function slopedGradient(b: OnnxBuilder, call: KernelCall, slope: number): OnnxValue {
  const [dy, x] = [input(call, 'dy'), input(call, 'x')];
  if (slope >= 0 && slope <= 1)
    return elementwise(b, 'Mul', [dy, constantSlopes(b, x, slope)], outputShape(call));
  const below = elementwise(b, 'Mul', [dy, scalar(slope)], dy.shape);
  return elementwise(b, 'Where', [isPositive(b, x), dy, below], outputShape(call));
}

export const activationLowerings: Readonly<Record<string, Lowering>> = {
  LeakyRelu: (b, call) => {
    const alpha = { float: attribute<number>(call, 'alpha') };
    return elementwise(b, 'LeakyRelu', [input(call, 'x')], outputShape(call), 'float32', { alpha });
  },
  Prelu: (b, call) => {
    const operands = [input(call, 'x'), input(call, 'alpha')];
    return elementwise(b, 'PRelu', operands, outputShape(call));
  },
  Step: (b, call) => {
    const x = input(call, 'x');
    const one = filled(1, [], 'float32');
    const below = scalar(attribute<number>(call, 'alpha'));
    return elementwise(b, 'Where', [isPositive(b, x), one, below], x.shape);
  },
  ReluGrad: (b, call) => slopedGradient(b, call, 0),
  LeakyReluGrad: (b, call) => slopedGradient(b, call, attribute<number>(call, 'alpha')),
  // Where the graph holds the gradient too, both share the slopes (see prepare.ts).
  PreluWithGradient: (b, call) => {
    const [x, alpha] = [input(call, 'x'), input(call, 'alpha')];
    if (!isByChannel(x, alpha)) return elementwise(b, 'PRelu', [x, alpha], outputShape(call));
    return elementwise(b, 'Mul', [x, channelSlopes(b, x, alpha)], outputShape(call));
  },
  // dy where x > 0, else alpha * dy.
  PreluGradX: (b, call) => {
    const [dy, x, alpha] = [input(call, 'dy'), input(call, 'x'), input(call, 'alpha')];
    if (isByChannel(x, alpha))
      return elementwise(b, 'Mul', [dy, channelSlopes(b, x, alpha)], outputShape(call));
    const positive = isPositive(b, x);
    const below = elementwise(b, 'Mul', [dy, alpha], dy.shape);
    return elementwise(b, 'Where', [positive, dy, below], outputShape(call));
  },
  PreluGradAlpha: (b, call) => {
    const [dy, x] = [input(call, 'dy'), input(call, 'x')];
    const below = elementwise(b, 'Min', [x, scalar(0)], x.shape);
    if (isByChannel(x, input(call, 'alpha'))) return channelDot(b, dy, below);
    const each = elementwise(b, 'Mul', [dy, below], dy.shape);
    return sumTo(b, each, outputShape(call));
  },
};
