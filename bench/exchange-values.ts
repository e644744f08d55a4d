// The numbers that the exchange bench adds up: cheap, and of magnitudes that show another order.

import { foldTree, type TreeNode } from '../shared/plan/reduction.js';
import type { ExchangePrecision, StepShape } from '../shared/plan/step-vector.js';
import type { Leaf } from '../shared/words.js';

const scales = [2 ** -41, 2 ** -31, 2 ** -27, 2 ** -21] as const;

/** Fills `out` with the values of a leaf from index `first`. */
export function fillLeaf(out: Float32Array, leaf: Leaf, first: number): void {
  for (let i = 0; i < out.length; i++) {
    const mixed = Math.imul(Math.imul(first + i + 1, 0x9e3779b1) ^ (leaf + 1), 0x85ebca6b);
    out[i] = mixed * scales[((mixed >>> 9) & 3) as 0 | 1 | 2 | 3];
  }
}

/** What a step of the bench exchanges: gradients, and the one exact value that there must be. */
export function benchShape(values: number): StepShape {
  return { exact: 1, gradients: values, factors: 0 };
}

/** The sum of `count` values of a subtree's leaves, in plain loops; every node is rounded. */
export function blockSum(
  root: TreeNode,
  first: number,
  count: number,
  precision: ExchangePrecision,
): Float32Array {
  const leafOf = ({ start, end }: TreeNode): Float32Array | undefined => {
    if (end - start > 1) return undefined;
    const values = new Float32Array(count);
    fillLeaf(values, start, first);
    return roundTo(precision, values);
  };
  return foldTree(root, leafOf, (left, right) => {
    for (let i = 0; i < count; i++) left[i] = Math.fround(left[i] + right[i]);
    return roundTo(precision, left);
  });
}

/** Rounds values in place: to bfloat16 nearest even, where that is the precision. */
export function roundTo(precision: ExchangePrecision, values: Float32Array): Float32Array {
  if (precision === 'float32') return values;
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++)
    bits[i] = (bits[i] + 0x7fff + ((bits[i] >>> 16) & 1)) & 0xffff_0000;
  return values;
}

/** Rounded values as they lie in a vector. */
export function bytesOfValues(precision: ExchangePrecision, values: Float32Array): Uint8Array {
  if (precision === 'float32')
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return new Uint8Array(Uint16Array.from(bits, (word) => word >>> 16).buffer);
}
