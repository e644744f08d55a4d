// What Lockstep adds to TF.js: gradients, and batch normalization in training. tfjs-core alone
// registers no gradients in Node; importing tfjs-layers does, as a side effect. Import this file
// before taking a gradient. Each added kernel is one whole, so that an engine sees it and brings
// its own way to compute it; what it means is in references.ts.

import {
  engine,
  registerGradient,
  type GradConfig,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';

/** Runs a kernel on the backend of the moment: `T` is a tensor, or several. */
function runKernel<T extends Tensor | Tensor[] = Tensor>(
  kernel: string,
  inputs: Record<string, Tensor>,
  attributes: object = {},
): T {
  return engine().runKernel<T>(kernel, inputs, attributes as never);
}

const gradients: readonly GradConfig[] = [
  // TF.js has no gradient for DepthToSpace; its inverse is the kernel SpaceToDepth.
  {
    kernelName: 'DepthToSpace',
    gradFunc: (dy, _saved, attributes) => ({
      x: () => {
        const { blockSize } = attributes as unknown as { blockSize: number };
        return runKernel('SpaceToDepth', { x: dy as Tensor }, { blockSize });
      },
    }),
  },
  {
    kernelName: 'Relu',
    inputsToSave: ['x'],
    gradFunc: (dy, [x]) => ({ x: () => runKernel('ReluGrad', { dy: dy as Tensor, x }) }),
  },
  {
    kernelName: 'LeakyRelu',
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attributes) => ({
      x: () => runKernel('LeakyReluGrad', { dy: dy as Tensor, x }, attributes),
    }),
  },
  // Two kernels, so that an unneeded one is never run; dalpha has the shape of alpha.
  {
    kernelName: 'Prelu',
    inputsToSave: ['x', 'alpha'],
    gradFunc: (dy, [x, alpha]) => {
      const inputs = { dy: dy as Tensor, x, alpha };
      return {
        x: () => runKernel('PreluGradX', inputs),
        alpha: () => runKernel('PreluGradAlpha', inputs),
      };
    },
  },
  {
    kernelName: 'BatchNormTraining',
    inputsToSave: ['x', 'scale'],
    outputsToSave: [false, true, true],
    gradFunc: (dys, [x, scale, mean, variance], attributes) => {
      const { epsilon } = attributes as unknown as { epsilon: number };
      const dy = (dys as Tensor[])[0];
      const inputs = { dy, x, scale, mean, variance };
      // All three at once: they share their sums over the micro-shard.
      const [dx, dscale, doffset] = runKernel<Tensor[]>('BatchNormTrainingGrad', inputs, {
        epsilon,
      });
      return { x: () => dx, scale: () => dscale, offset: () => doffset };
    },
  },
];

/**
 * Makes these the gradients of their kernels. Again after something has loaded the whole of TF.js,
 * which registers its own.
 */
export function registerGradients(): void {
  gradients.forEach(registerGradient);
}

registerGradients();

interface BatchNormResult {
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
  const inputs = { x, scale, offset };
  const [y, mean, variance] = runKernel<Tensor[]>('BatchNormTraining', inputs, { epsilon });
  return { y: y as Tensor4D, mean: mean as Tensor1D, variance: variance as Tensor1D };
}
