// The vectors that worlds exchange, in memory that both threads of the worker see. Worlds come and
// go; their vectors are taken from one pool that only grows.

import type { WorldVectors } from '../network/ports.js';

export interface VectorPool {
  /** Vectors for a world in which this rank contributes so many subtrees. */
  take(subtrees: number, worldSize: number): Pick<WorldVectors, 'contributions' | 'results'>;
}

/** Creates a pool of vectors of `floats` floats; nothing is allocated before it is needed. */
export function createVectorPool(floats: number): VectorPool {
  const vectors: Float32Array[] = [];
  const at = (index: number): Float32Array =>
    (vectors[index] ??= new Float32Array(new SharedArrayBuffer(4 * floats)));
  return {
    take: (subtrees, worldSize) => {
      const contributions = Array.from({ length: subtrees }, (_, i) => at(i + 1));
      // The second result is for peers that still pull the step before: alone, there are none.
      const second = worldSize === 1 ? at(0) : at(subtrees + 1);
      return { contributions, results: [at(0), second] };
    },
  };
}
