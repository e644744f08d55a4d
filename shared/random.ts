// Seeded randomness: a stateless hash for choices about a sample, and a small generator for
// streams (initial parameters). Both are pure functions of integers, the same on every machine.

/** Mixes 32-bit integers into one well-spread 32-bit unsigned integer (murmur3's finalizer). */
export function hashIntegers(...values: readonly number[]): number {
  let h = 0x9e3779b9;
  for (const value of values) {
    h = Math.imul(h ^ (value >>> 0), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
    // Values above 32 bits (steps of long runs) keep their high part.
    const high = Math.floor(value / 4294967296);
    if (high !== 0) h = Math.imul(h ^ high, 0x27d4eb2f);
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A seeded stream of numbers. */
export interface RandomStream {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** Standard normal, by the sum of twelve uniforms (no transcendental functions: exact). */
  normal(): number;
}

/** Creates the stream of a seed: mulberry32, one multiply-xorshift a number. */
export function createRandomStream(seed: number): RandomStream {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = (): number => {
    let sum = 0;
    for (let i = 0; i < 12; i++) sum += uniform();
    return sum - 6;
  };
  return { uniform, normal };
}
