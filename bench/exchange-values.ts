// The numbers that the exchange bench adds up: cheap, and of magnitudes that show another order.

import type { Leaf } from '../shared/words.js';

const scales = [2 ** -41, 2 ** -31, 2 ** -27, 2 ** -21] as const;

/** Fills `out` with the values of a leaf from index `first`. */
export function fillLeaf(out: Float32Array, leaf: Leaf, first: number): void {
  for (let i = 0; i < out.length; i++) {
    const mixed = Math.imul(Math.imul(first + i + 1, 0x9e3779b1) ^ (leaf + 1), 0x85ebca6b);
    out[i] = mixed * scales[((mixed >>> 9) & 3) as 0 | 1 | 2 | 3];
  }
}
