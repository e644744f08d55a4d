// A convolution unit: convolution, bias, pixel shuffle, normalization and activation in the order
// of the spec. Both networks are wirings of units; parameters and forward pass come from the same
// description. Normalization is by the micro-shard's own statistics in training, and by the running
// statistics in inference.

import {
  add,
  conv2d,
  depthToSpace,
  keep,
  leakyRelu,
  mul,
  prelu,
  relu,
  rsqrt,
  sub,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../../shared/layout.js';
import { batchNormTraining } from '../ops/gradients.js';
import type { NamedTensors } from '../task.js';
import type { Parameter } from './initial.js';

/** One convolution with what belongs to it; "same" padding throughout. */
export interface Unit {
  /** Prefix of its tensors' names. */
  readonly name: string;
  /** Side of the filter. */
  readonly side: number;
  readonly inputs: number;
  /** Channels out of the convolution (before the shuffle). */
  readonly outputs: number;
  readonly stride: 1 | 2;
  /**
   * Channels become pixels, 2 by 2, right after the bias; never with normalization (Shi et al.
   * 2016, "Real-Time Single Image and Video Super-Resolution"; channels in TensorFlow's order).
   */
  readonly isShuffled: boolean;
  readonly isNormalized: boolean;
  readonly order: 'norm-activation' | 'activation-norm';
  readonly activation: 'none' | 'relu' | 'prelu' | 'leaky';
  /** Initial filters are uniform in ±gain / sqrt(fan-in). */
  readonly gain: number;
  /** Runs of equal filters among the initial ones (`Start`); 1: all differ. */
  readonly copies: number;
}

/** How a unit normalizes, with the parameters and statistics under `<name>/norm`. */
export interface Normalization {
  apply(x: Tensor4D, name: string): Tensor4D;
  /**
   * The same as y = scale * x + shift, a channel each, where that is known before x is; then a
   * convolution right before it takes the scale into its filter.
   */
  affine?(name: string): { readonly scale: Tensor1D; readonly shift: Tensor1D };
}

/** Slope of LeakyReLU below zero (the paper's discriminator). */
const leakySlope = 0.2;

/** What a PReLU's slopes start from (He et al. 2015). */
const initialSlope = 0.25;

/** The parameters of a unit; no bias right before a normalization, where it would do nothing. */
export function unitParameters(unit: Unit): Parameter[] {
  const { name, side, inputs, outputs, gain, copies } = unit;
  const channels = [unit.isShuffled ? outputs / 4 : outputs];
  const constant = (part: string, shape: number[], value: number): Parameter => ({
    name: `${name}/${part}`,
    shape,
    start: { kind: 'constant', value },
  });
  const filter: Parameter = {
    name: `${name}/filter`,
    shape: [side, side, inputs, outputs],
    start: { kind: 'uniform', gain, copies },
  };
  return [
    filter,
    ...(hasBias(unit) ? [constant('bias', [outputs], 0)] : []),
    ...(unit.isNormalized
      ? [constant('norm/scale', [outputs], 1), constant('norm/offset', [outputs], 0)]
      : []),
    ...(unit.activation === 'prelu' ? [constant('slope', channels, initialSlope)] : []),
  ];
}

/** The running statistics of a unit: none without normalization. */
export function unitStatistics(unit: Unit): TensorSpec[] {
  if (!unit.isNormalized) return [];
  const shape = [unit.outputs];
  return [
    { name: `${unit.name}/norm/mean`, shape },
    { name: `${unit.name}/norm/variance`, shape },
  ];
}

/** The unit's forward pass on [n, h, w, inputs]. */
export function runUnit(
  unit: Unit,
  x: Tensor4D,
  p: NamedTensors,
  normalization: Normalization,
): Tensor4D {
  const { name, stride } = unit;
  const filter = p[`${name}/filter`] as Tensor4D;
  if (unit.isNormalized && isNormalizedFirst(unit)) {
    const affine = normalization.affine?.(name);
    const y =
      affine === undefined
        ? normalization.apply(conv2d(x, filter, stride, 'same'), name)
        : add<Tensor4D>(
            conv2d(x, mul<Tensor4D>(filter, affine.scale), stride, 'same'),
            affine.shift,
          );
    return activate(unit, y, p);
  }
  const sum = add<Tensor4D>(conv2d(x, filter, stride, 'same'), p[`${name}/bias`]);
  const y = activate(unit, unit.isShuffled ? depthToSpace(sum, 2) : sum, p);
  return unit.isNormalized ? normalization.apply(y, name) : y;
}

function activate(unit: Unit, x: Tensor4D, p: NamedTensors): Tensor4D {
  switch (unit.activation) {
    case 'none':
      return x;
    case 'relu':
      return relu(x);
    case 'prelu':
      return prelu<Tensor>(x, p[`${unit.name}/slope`]) as Tensor4D;
    case 'leaky':
      return leakyRelu(x, leakySlope);
  }
}

function hasBias(unit: Unit): boolean {
  return !unit.isNormalized || !isNormalizedFirst(unit);
}

/** Whether nothing comes between the convolution and its normalization. */
function isNormalizedFirst(unit: Unit): boolean {
  return unit.order === 'norm-activation' || unit.activation === 'none';
}

/** Added to variances, as PyTorch's default does. */
const epsilon = 1e-5;

/** By the own statistics; where a record is given, they are kept there by their names. */
export function trainingNormalization(p: NamedTensors, record?: NamedTensors): Normalization {
  const apply = (x: Tensor4D, name: string): Tensor4D => {
    const scale = p[`${name}/norm/scale`] as Tensor1D;
    const offset = p[`${name}/norm/offset`] as Tensor1D;
    const { y, mean, variance } = batchNormTraining(x, scale, offset, epsilon);
    if (record !== undefined) {
      record[`${name}/norm/mean`] = keep(mean);
      record[`${name}/norm/variance`] = keep(variance);
    }
    return y;
  };
  return { apply };
}

/** By running statistics, as one scale and one shift a channel. */
export function inferenceNormalization(p: NamedTensors): Normalization {
  const affine = (name: string) => {
    const of = (part: string) => p[`${name}/norm/${part}`] as Tensor1D;
    const scale = mul<Tensor1D>(of('scale'), rsqrt(add(of('variance'), epsilon)));
    return { scale, shift: sub<Tensor1D>(of('offset'), mul(of('mean'), scale)) };
  };
  const apply = (x: Tensor4D, name: string): Tensor4D => {
    const { scale, shift } = affine(name);
    return add(mul(x, scale), shift);
  };
  return { apply, affine };
}
