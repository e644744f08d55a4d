// All chance of a simulation comes from here, and all of it from the seed.

import { createRandomStream, hashIntegers } from '../../../shared/random.js';

export interface Dice {
  /** In [0, 1). */
  uniform(): number;
  /** In [low, high). */
  between(low: number, high: number): number;
  /** A whole number from low to high, both included. */
  integer(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
}

/** Dice of a seed; `purpose` keeps the throws of one part apart from those of another. */
export function createDice(seed: number, purpose: number): Dice {
  const stream = createRandomStream(hashIntegers(seed, purpose));
  const integer = (low: number, high: number): number =>
    low + Math.floor(stream.uniform() * (high - low + 1));
  return {
    uniform: () => stream.uniform(),
    between: (low, high) => low + stream.uniform() * (high - low),
    integer,
    chance: (probability) => stream.uniform() < probability,
    pick: (items) => items[integer(0, items.length - 1)],
  };
}
