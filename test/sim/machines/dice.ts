// All chance of a simulation comes from here, and all of it from the seed.

import { createRandomStream, hashIntegers } from '../../../shared/random.js';

export type Dice = ReturnType<typeof createDice>;

/** Dice of a seed; `purpose` keeps the throws of one part apart from those of another. */
export function createDice(seed: number, purpose: number) {
  const stream = createRandomStream(hashIntegers(seed, purpose));
  /** A whole number from low to high, both included. */
  const integer = (low: number, high: number): number =>
    low + Math.floor(stream.uniform() * (high - low + 1));
  return {
    /** In [0, 1). */
    uniform: () => stream.uniform(),
    /** In [low, high). */
    between: (low: number, high: number) => low + stream.uniform() * (high - low),
    integer,
    chance: (probability: number) => stream.uniform() < probability,
    pick: <T>(items: readonly T[]): T => items[integer(0, items.length - 1)],
  };
}
