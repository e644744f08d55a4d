// The factors of all leaves as an engine multiplies them: gathered block by block, in leaf order,
// into one matrix for each side of each product; and widened where they came as bfloat16.

import { factorNames } from '../../trace/factors.js';
import type { GradientProduct } from '../../task/ops/update.js';
import type { ExchangedValues } from './engine.js';

/** The matrices of the products by factor name, and how they are filled. */
export interface GatheredFactors {
  /** Always the same arrays, in memory that threads don't share. */
  readonly matrices: Readonly<Record<string, Float32Array>>;
  /** `blocks` are the leaves' factors, in leaf order. */
  gather(blocks: readonly ExchangedValues[]): void;
}

/** Memory for the factors of a step of so many leaves. */
export function gatherFactors(
  products: readonly GradientProduct[],
  leaves: number,
): GatheredFactors {
  const sides = products.flatMap(({ name, rows, left, right }) => {
    const [x, y] = factorNames(name);
    return [
      { matrix: new Float32Array(rows * left), name: x },
      { matrix: new Float32Array(rows * right), name: y },
    ];
  });
  return {
    matrices: Object.fromEntries(sides.map(({ name, matrix }) => [name, matrix])),
    gather: (blocks) => {
      for (const [leaf, block] of blocks.entries()) {
        let start = 0;
        for (const { matrix } of sides) {
          const size = matrix.length / leaves;
          copyValues(matrix.subarray(leaf * size), block.subarray(start, (start += size)));
        }
      }
    },
  };
}

/** Copies values as float32, which all of bfloat16 are. */
export function copyValues(out: Float32Array, values: ExchangedValues): void {
  if (values instanceof Float32Array) return out.set(values);
  const bits = new Uint32Array(out.buffer, out.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) bits[i] = values[i] << 16;
}

/** The values as float32: themselves where they are. */
export function floatsOfValues(values: ExchangedValues): Float32Array {
  if (values instanceof Float32Array) return values;
  const floats = new Float32Array(values.length);
  copyValues(floats, values);
  return floats;
}
