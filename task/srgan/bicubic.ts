// Bicubic enlargement by 4 inside the graph, of native TF.js kernels only and independent of the
// picture's size: one convolution computes the 16 output pixels that belong to an input pixel.

import { conv2d, depthToSpace, mirrorPad, tensor4d, type Tensor4D } from '@tensorflow/tfjs-core';

/** Enlargement a side. */
const scale = 4;

/** Input pixels on each side of a pixel that its 16 output pixels read. */
export const bicubicRadius = 2;

const side = 2 * bicubicRadius + 1;

/**
 * Enlarges [n, h, w, 3] to [n, 4h, 4w, 3], h and w at least 3, borders reflected. Keys' cubic
 * (a = -1/2; Keys 1981, "Cubic convolution interpolation for digital image processing") with
 * pixel centres at half: output 4i + p lies at input i + (2p - 3) / 8.
 */
export function enlargeBicubic(x: Tensor4D): Tensor4D {
  const none: [number, number] = [0, 0];
  const border: [number, number] = [bicubicRadius, bicubicRadius];
  const padded = mirrorPad(x, [none, border, border, none], 'reflect');
  const filter = tensor4d(bicubicFilter(), [side, side, 3, scale * scale * 3]);
  return depthToSpace(conv2d(padded, filter, 1, 'valid'), scale, 'NHWC');
}

/** [5, 5, 3, 48]; output channel (p * 4 + q) * 3 + c is colour c of pixel (p, q) of 4 by 4. */
function bicubicFilter(): Float32Array {
  const filter = new Float32Array(side * side * 3 * scale * scale * 3);
  let at = 0;
  for (let dy = -bicubicRadius; dy <= bicubicRadius; dy++)
    for (let dx = -bicubicRadius; dx <= bicubicRadius; dx++)
      for (let from = 0; from < 3; from++)
        for (let pixel = 0; pixel < scale * scale; pixel++)
          for (let to = 0; to < 3; to++, at++)
            if (from === to)
              filter[at] = weight(Math.floor(pixel / scale), dy) * weight(pixel % scale, dx);
  return filter;
}

/** Keys' weight of the input pixel `distance` away for phase 0 to 3; exact in binary. */
function weight(phase: number, distance: number): number {
  const t = Math.abs(distance - (2 * phase - 3) / 8);
  if (t >= 2) return 0;
  return t <= 1 ? (1.5 * t - 2.5) * t * t + 1 : ((-0.5 * t + 2.5) * t - 4) * t + 2;
}
