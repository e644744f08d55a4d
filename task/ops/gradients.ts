// Brings in TF.js's gradients and adds what it lacks. tfjs-core alone registers no gradients in
// Node; importing tfjs-layers does, as a side effect. Import this file before taking a gradient.
// Activation gradients are one kernel each, so that an engine sees them whole.

import { engine, registerGradient, type GradConfig, type Tensor } from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';

type Attributes = Record<string, unknown>;

/** Runs a kernel with one output on the backend of the moment. */
export function runKernel(
  kernel: string,
  inputs: Record<string, Tensor>,
  attributes: Attributes = {},
): Tensor {
  return engine().runKernel<Tensor>(kernel, inputs, attributes as never);
}

/** Runs a kernel with several outputs on the backend of the moment. */
export function runKernels(
  kernel: string,
  inputs: Record<string, Tensor>,
  attributes: Attributes = {},
): Tensor[] {
  return engine().runKernel<Tensor[]>(kernel, inputs, attributes as never);
}

const gradients: readonly GradConfig[] = [
  // TF.js has no gradient for DepthToSpace; its inverse is the kernel SpaceToDepth.
  {
    kernelName: 'DepthToSpace',
    gradFunc: (dy, _saved, attributes) => ({
      x: () => runKernel('SpaceToDepth', { x: dy as Tensor }, blockSizeOf(attributes)),
    }),
  },
  {
    kernelName: 'Relu',
    inputsToSave: ['x'],
    gradFunc: (dy, [x]) => ({ x: () => runKernel('ReluGrad', { dy: dy as Tensor, x: x }) }),
  },
  {
    kernelName: 'LeakyRelu',
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attributes) => ({
      x: () => runKernel('LeakyReluGrad', { dy: dy as Tensor, x: x }, attributes),
    }),
  },
  // Two kernels, so that an unneeded one is never run; dalpha has the shape of alpha.
  {
    kernelName: 'Prelu',
    inputsToSave: ['x', 'alpha'],
    gradFunc: (dy, [x, alpha]) => {
      const inputs = { dy: dy as Tensor, x: x, alpha: alpha };
      return {
        x: () => runKernel('PreluGradX', inputs),
        alpha: () => runKernel('PreluGradAlpha', inputs),
      };
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

function blockSizeOf(attributes: unknown): { blockSize: number } {
  return { blockSize: (attributes as { blockSize: number }).blockSize };
}
