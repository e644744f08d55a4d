// Batch normalization in training, kept whole: one kernel forward, one for all its gradients.
// What the kernels mean is in references.ts; each engine brings its own way to compute them.

import { registerGradient, type Tensor, type Tensor1D, type Tensor4D } from '@tensorflow/tfjs-core';
import { runKernels } from './gradients.js';

export interface BatchNormResult {
  readonly y: Tensor4D;
  readonly mean: Tensor1D;
  /** Biased: divided by the number of values. */
  readonly variance: Tensor1D;
}

/**
 * Normalizes `x` [n, h, w, c] by this micro-shard's own mean and biased variance over n, h, w:
 * y = scale * (x - mean) / sqrt(variance + epsilon) + offset. Gradients flow to x, scale and
 * offset from `y` only: `mean` and `variance` are for the running statistics.
 * (Ioffe and Szegedy 2015, "Batch Normalization", algorithm 1.)
 */
export function batchNormTraining(
  x: Tensor4D,
  scale: Tensor1D,
  offset: Tensor1D,
  epsilon: number,
): BatchNormResult {
  const [y, mean, variance] = runKernels('BatchNormTraining', { x, scale, offset }, { epsilon });
  return { y: y as Tensor4D, mean: mean as Tensor1D, variance: variance as Tensor1D };
}

registerGradient({
  kernelName: 'BatchNormTraining',
  inputsToSave: ['x', 'scale'],
  outputsToSave: [false, true, true],
  gradFunc: (dys, [x, scale, mean, variance], attributes) => {
    const { epsilon } = attributes as unknown as { epsilon: number };
    const dy = (dys as Tensor[])[0];
    const inputs = { dy, x: x, scale: scale, mean: mean, variance: variance };
    // All three at once: they share their sums over the micro-shard.
    const [dx, dscale, doffset] = runKernels('BatchNormTrainingGrad', inputs, { epsilon });
    return { x: () => dx, scale: () => dscale, offset: () => doffset };
  },
});
