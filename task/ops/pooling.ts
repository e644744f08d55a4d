// Pooling whose gradient every engine has: windows of 2x2 that tile the picture. Rows and columns
// that fill no window are cut off first, and overlapping windows are put together of such ones.

import { avgPool, maximum, maxPool, slice, type Tensor4D } from '@tensorflow/tfjs-core';
import './gradients.js';

/** Maximum of each 2x2 of [n, h, w, c]: [n, floor(h / 2), floor(w / 2), c]. */
export function maxPoolHalving(x: Tensor4D): Tensor4D {
  const [, height, width] = x.shape;
  return maxPool(cut(x, 0, 0, height >> 1, width >> 1), 2, 2, 'valid');
}

/** Mean of each 2x2 of [n, h, w, c]: [n, floor(h / 2), floor(w / 2), c]. */
export function avgPoolHalving(x: Tensor4D): Tensor4D {
  const [, height, width] = x.shape;
  return avgPool(cut(x, 0, 0, height >> 1, width >> 1), 2, 2, 'valid');
}

/**
 * Maximum of each 3x3, two pixels apart, without padding: [n, h, w, c], h and w at least 3, to
 * [n, floor((h - 1) / 2), floor((w - 1) / 2), c]. A 3x3 is four 2x2 that overlap.
 */
export function maxPoolOverlapping(x: Tensor4D): Tensor4D {
  const [rows, columns] = [(x.shape[1] - 1) >> 1, (x.shape[2] - 1) >> 1];
  const pool = (top: number, left: number): Tensor4D =>
    maxPool(cut(x, top, left, rows, columns), 2, 2, 'valid');
  return maximum(maximum(pool(0, 0), pool(0, 1)), maximum(pool(1, 0), pool(1, 1)));
}

/** The pixels of so many rows and columns of 2x2 windows. */
function cut(x: Tensor4D, top: number, left: number, rows: number, columns: number): Tensor4D {
  const [count, , , channels] = x.shape;
  return slice(x, [0, top, left, 0], [count, 2 * rows, 2 * columns, channels]);
}
