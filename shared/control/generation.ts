// Numbers of worlds. The coordinator's term is the upper part, so that whatever a later
// coordinator forms has a greater generation than all that an earlier one did.

import type { Generation } from '../words.js';

/** Worlds that one coordinator may form; beyond, its term is used up and it must start anew. */
export const worldsOfTerm = 2 ** 20;

/** Highest term: generations stay whole numbers below 2^53. */
export const maxTerm = 2 ** 32 - 1;

/** The `count`-th world (from 1) of a coordinator with this term (from 1). */
export function generationOf(term: number, count: number): Generation {
  if (count >= worldsOfTerm) throw new Error(`a coordinator forms at most ${worldsOfTerm} worlds`);
  return term * worldsOfTerm + count;
}

/** The term of the coordinator that formed a world. */
export function termOf(generation: Generation): number {
  return Math.floor(generation / worldsOfTerm);
}
