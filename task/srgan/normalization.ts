// The two ways to normalize: by the micro-shard's own statistics in training, by the running
// statistics in inference.

import { add, keep, mul, rsqrt, sub, type Tensor1D, type Tensor4D } from '@tensorflow/tfjs-core';
import { batchNormTraining } from '../ops/batch-norm.js';
import type { NamedTensors } from '../task.js';
import type { Normalization } from './units.js';

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
