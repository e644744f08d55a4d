// Pixel shuffle (Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution"): channels
// become pixels. TF.js has the forward kernel; its gradient is registered in gradients.ts.

import { depthToSpace, type Tensor4D } from '@tensorflow/tfjs-core';
import './gradients.js';

/**
 * [n, h, w, c * block * block] to [n, h * block, w * block, c], in TensorFlow's order of channels:
 * y[n, h * block + i, w * block + j, k] = x[n, h, w, (i * block + j) * c + k].
 */
export function pixelShuffle(x: Tensor4D, block: number): Tensor4D {
  return depthToSpace(x, block, 'NHWC');
}
