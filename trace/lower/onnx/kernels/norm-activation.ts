// What follows a convolution, with its gradients: batch normalization and activations. Both come
// down to x * scale + offset a channel, which ONNX's BatchNormalization does in a single pass.

import { sizeOf } from '../../../../shared/layout.js';
import { attribute, input, inputsOf, output, type KernelCall } from '../../lowering.js';
import type { OnnxBuilder } from '../builder.js';
import {
  fullName,
  nchw,
  plainName,
  reshape,
  stored,
  type OnnxLowering,
  type OnnxLowerings,
  type OnnxValue,
} from '../value.js';
import { elementwise, scalar } from './elementwise.js';
import { channelDot, channelSum, reduce, sumTo } from './sums.js';

/** ONNX's own operator: (x - mean) / sqrt(variance + epsilon) * scale + offset. */
function normalize(
  b: OnnxBuilder,
  x: OnnxValue,
  channels: readonly OnnxValue[],
  epsilon: number,
): OnnxValue {
  const names = [fullName(b, x, nchw), ...channels.map((value) => plainName(b, value))];
  const name = b.emit('BatchNormalization', names, { epsilon: { float: epsilon } });
  return stored(name, x.shape, 'float32', nchw);
}

/** x * scale + offset a channel, of [n, h, w, c]. */
function affine(b: OnnxBuilder, x: OnnxValue, scale: OnnxValue, offset: OnnxValue): OnnxValue {
  const channels = x.shape[3];
  const [zeros, ones] = [constantVector(b, channels, 0), constantVector(b, channels, 1)];
  return normalize(b, x, [scale, offset, zeros, ones], 0);
}

function constantVector(b: OnnxBuilder, length: number, value: number): OnnxValue {
  const name = b.constant([length], 'float32', new Float32Array(length).fill(value));
  return stored(name, [length], 'float32');
}

// In training ONNX Runtime has no operator: the statistics are reductions.
const batchNormTraining: OnnxLowering = (b, call) => {
  const [x, scale, offset] = inputsOf(call, 'x', 'scale', 'offset');
  const mean = reshape(b, reduce(b, 'ReduceMean', x, [0, 1, 2]), [x.shape[3]]);
  const centred = elementwise(b, 'Sub', [x, mean]);
  const count = scalar(sizeOf(x.shape) / x.shape[3]);
  const variance = elementwise(b, 'Div', [channelDot(b, centred, centred), count]);
  const channels = [scale, offset, mean, variance];
  return [normalize(b, x, channels, attribute(call, 'epsilon')), mean, variance];
};

// With h = (x - mean) * inverse and n values a channel:
//   doffset = sum(dy), dscale = sum(dy * h),
//   dx = scale * inverse * (dy - doffset / n - h * dscale / n)
// (Ioffe and Szegedy 2015, section 3). The last is a * dy + c * (x - mean) + d a channel.
const batchNormGradient: OnnxLowering = (b, call) => {
  const [dy, x, scale, mean, given] = inputsOf(call, 'dy', 'x', 'scale', 'mean', 'variance');
  const variance = elementwise(b, 'Add', [given, scalar(attribute(call, 'epsilon'))]);
  const inverse = elementwise(b, 'Reciprocal', [elementwise(b, 'Sqrt', [variance])]);
  const centred = elementwise(b, 'Sub', [x, mean]);
  const doffset = channelSum(b, dy);
  const dscale = elementwise(b, 'Mul', [channelDot(b, dy, centred), inverse]);
  const count = scalar(sizeOf(x.shape) / x.shape[3]);
  const a = elementwise(b, 'Mul', [scale, inverse]);
  const share = (value: OnnxValue) =>
    elementwise(b, 'Mul', [a, elementwise(b, 'Div', [value, count])]);
  const c = elementwise(b, 'Neg', [elementwise(b, 'Mul', [share(dscale), inverse])]);
  const d = elementwise(b, 'Neg', [share(doffset)]);
  const scaledDy = elementwise(b, 'Mul', [dy, a]);
  const rest = affine(b, centred, c, d);
  return [elementwise(b, 'Add', [scaledDy, rest]), dscale, doffset];
};

// A choice by sign is arithmetic on slopes, not a branch: ONNX Runtime's PRelu and Where branch at
// every value, which costs eight passes over memory on values of random sign.

// Times this, any positive normal number is at least 1.
const huge = 1e38;

/** 1 where x > 0, else 0: HardSigmoid is max(0, min(1, alpha * x + beta)). */
function step(b: OnnxBuilder, x: OnnxValue): OnnxValue {
  const attrs = { alpha: { float: huge }, beta: { float: 0 } };
  return elementwise(b, 'HardSigmoid', [x], 'float32', attrs);
}

/** 1 where x > 0, else `slope` (a number from 0 to 1). */
function constantSlopes(b: OnnxBuilder, x: OnnxValue, slope: number): OnnxValue {
  if (slope === 0) return step(b, x);
  const large = elementwise(b, 'Mul', [x, scalar(huge)]);
  return elementwise(b, 'Clip', [large, scalar(slope), scalar(1)]);
}

/** 1 where x > 0, else the channel's slope `alpha` [c]: step * (1 - alpha) + alpha. */
function channelSlopes(b: OnnxBuilder, x: OnnxValue, alpha: OnnxValue): OnnxValue {
  const rest = elementwise(b, 'Sub', [scalar(1), alpha]);
  return affine(b, step(b, x), rest, alpha);
}

/** Whether `alpha` is one slope a channel of [n, h, w, c]. */
function isByChannel(x: OnnxValue, alpha: OnnxValue): boolean {
  return x.shape.length === 4 && alpha.shape.length === 1 && alpha.shape[0] === x.shape[3];
}

/** `above` where x > 0, else `below`. */
function choose(b: OnnxBuilder, x: OnnxValue, above: OnnxValue, below: OnnxValue): OnnxValue {
  const isPositive = elementwise(b, 'Greater', [x, scalar(0)], 'bool');
  return elementwise(b, 'Where', [isPositive, above, below]);
}

function reluGradient(b: OnnxBuilder, call: KernelCall<OnnxValue>, slope: number): OnnxValue {
  const [dy, x] = inputsOf(call, 'dy', 'x');
  if (slope >= 0 && slope <= 1) return elementwise(b, 'Mul', [dy, constantSlopes(b, x, slope)]);
  return choose(b, x, dy, elementwise(b, 'Mul', [dy, scalar(slope)]));
}

export const normActivationToOnnx: OnnxLowerings = {
  BatchNormTraining: batchNormTraining,
  BatchNormTrainingGrad: batchNormGradient,
  // Of rank 4 always: TF.js brings other ranks to it.
  FusedBatchNorm: (b, call) => {
    const [x, mean, variance] = inputsOf(call, 'x', 'mean', 'variance');
    const scale = call.inputs['scale'] ?? constantVector(b, x.shape[3], 1);
    const offset = call.inputs['offset'] ?? constantVector(b, x.shape[3], 0);
    const channels = [scale, offset, mean, variance];
    return reshape(b, normalize(b, x, channels, attribute(call, 'epsilon')), output(call).shape);
  },
  LeakyRelu: (b, call) => {
    const alpha = { float: attribute<number>(call, 'alpha') };
    return elementwise(b, 'LeakyRelu', inputsOf(call, 'x'), 'float32', { alpha });
  },
  Prelu: (b, call) => elementwise(b, 'PRelu', inputsOf(call, 'x', 'alpha')),
  Step: (b, call) => choose(b, input(call, 'x'), scalar(1), scalar(attribute(call, 'alpha'))),
  ReluGrad: (b, call) => reluGradient(b, call, 0),
  LeakyReluGrad: (b, call) => reluGradient(b, call, attribute(call, 'alpha')),
  // Where the graph holds the gradient too, both share the slopes (see prepare.ts).
  PreluWithGradient: (b, call) => {
    const [x, alpha] = inputsOf(call, 'x', 'alpha');
    if (!isByChannel(x, alpha)) return elementwise(b, 'PRelu', [x, alpha]);
    return elementwise(b, 'Mul', [x, channelSlopes(b, x, alpha)]);
  },
  // dy where x > 0, else alpha * dy.
  PreluGradX: (b, call) => {
    const [dy, x, alpha] = inputsOf(call, 'dy', 'x', 'alpha');
    if (isByChannel(x, alpha)) return elementwise(b, 'Mul', [dy, channelSlopes(b, x, alpha)]);
    return choose(b, x, dy, elementwise(b, 'Mul', [dy, alpha]));
  },
  PreluGradAlpha: (b, call) => {
    const [dy, x, alpha] = inputsOf(call, 'dy', 'x', 'alpha');
    const below = elementwise(b, 'Min', [x, scalar(0)]);
    if (isByChannel(x, alpha)) return channelDot(b, dy, below);
    return sumTo(b, elementwise(b, 'Mul', [dy, below]), output(call).shape);
  },
};
