// Batch normalization. In training ONNX Runtime has no operator for it: the statistics are
// reductions, and the rest is one affine operator (ONNX's BatchNormalization with the mean 0 and
// the variance 1 is x * scale + offset a channel, in a single pass).

import type { OnnxBuilder } from '../builder.js';
import { attribute, input, outputShape, type Lowering } from '../lowering.js';
import { sizeOf } from '../../../../shared/layout.js';
import { fullName, nchw, plainName, reshape, stored, type OnnxValue } from '../value.js';
import { elementwise, scalar } from './elementwise.js';
import { channelDot, reduce } from './reduction.js';

const pixelAxes = [0, 1, 2];

function perChannel(b: OnnxBuilder, op: string, x: OnnxValue, y: OnnxValue): OnnxValue {
  return elementwise(b, op, [x, y], x.shape);
}

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

function channelMean(b: OnnxBuilder, x: OnnxValue): OnnxValue {
  return reshape(b, reduce(b, 'ReduceMean', x, pixelAxes), [x.shape[3]]);
}

function channelSum(b: OnnxBuilder, x: OnnxValue): OnnxValue {
  return reshape(b, reduce(b, 'ReduceSum', x, pixelAxes), [x.shape[3]]);
}

function inverseDeviation(b: OnnxBuilder, variance: OnnxValue, epsilon: number): OnnxValue {
  const shifted = perChannel(b, 'Add', variance, scalar(epsilon));
  const root = elementwise(b, 'Sqrt', [shifted], variance.shape);
  return elementwise(b, 'Reciprocal', [root], variance.shape);
}

const training: Lowering = (b, call) => {
  const x = input(call, 'x');
  const mean = channelMean(b, x);
  const centred = elementwise(b, 'Sub', [x, mean], x.shape);
  const count = scalar(sizeOf(x.shape) / x.shape[3]);
  const variance = perChannel(b, 'Div', channelDot(b, centred, centred), count);
  const channels = [input(call, 'scale'), input(call, 'offset'), mean, variance];
  return [normalize(b, x, channels, attribute<number>(call, 'epsilon')), mean, variance];
};

// With h = (x - mean) * inverse and n values a channel:
//   doffset = sum(dy), dscale = sum(dy * h),
//   dx = scale * inverse * (dy - doffset / n - h * dscale / n)
// (Ioffe and Szegedy 2015, section 3). The last is a * dy + c * (x - mean) + d a channel.
const gradient: Lowering = (b, call) => {
  const [dy, x] = [input(call, 'dy'), input(call, 'x')];
  const inverse = inverseDeviation(b, input(call, 'variance'), attribute<number>(call, 'epsilon'));
  const centred = elementwise(b, 'Sub', [x, input(call, 'mean')], x.shape);
  const doffset = channelSum(b, dy);
  const product = channelDot(b, dy, centred);
  const dscale = perChannel(b, 'Mul', product, inverse);
  const count = scalar(sizeOf(x.shape) / x.shape[3]);
  const a = perChannel(b, 'Mul', input(call, 'scale'), inverse);
  const share = (value: OnnxValue) => perChannel(b, 'Mul', a, perChannel(b, 'Div', value, count));
  const c = elementwise(b, 'Neg', [perChannel(b, 'Mul', share(dscale), inverse)], a.shape);
  const d = elementwise(b, 'Neg', [share(doffset)], a.shape);
  const scaledDy = elementwise(b, 'Mul', [dy, a], x.shape);
  const rest = affine(b, centred, c, d);
  return [elementwise(b, 'Add', [scaledDy, rest], x.shape), dscale, doffset];
};

/** x * scale + offset a channel, of [n, h, w, c]. */
export function affine(
  b: OnnxBuilder,
  x: OnnxValue,
  scale: OnnxValue,
  offset: OnnxValue,
): OnnxValue {
  const channels = x.shape[3];
  const [zeros, ones] = [constantVector(b, channels, 0), constantVector(b, channels, 1)];
  return normalize(b, x, [scale, offset, zeros, ones], 0);
}

function constantVector(b: OnnxBuilder, length: number, value: number): OnnxValue {
  const name = b.constant([length], 'float32', new Float32Array(length).fill(value));
  return stored(name, [length], 'float32');
}

export const batchNormLowerings: Readonly<Record<string, Lowering>> = {
  BatchNormTraining: training,
  BatchNormTrainingGrad: gradient,
  // Of rank 4 always: TF.js brings other ranks to it.
  FusedBatchNorm: (b, call) => {
    const x = input(call, 'x');
    const [mean, variance] = [input(call, 'mean'), input(call, 'variance')];
    const scale = call.inputs['scale'] ?? constantVector(b, x.shape[3], 1);
    const offset = call.inputs['offset'] ?? constantVector(b, x.shape[3], 0);
    const channels = [scale, offset, mean, variance];
    const y = normalize(b, x, channels, attribute<number>(call, 'epsilon'));
    return reshape(b, y, outputShape(call));
  },
};
