// The order of samples: a seeded permutation with random access. Position p of epoch e is a
// sample by arithmetic alone, so a resume needs only the step number, and every sample comes
// exactly once an epoch by construction.
// Method: a balanced Feistel network over the next even power of two, walked until it lands
// inside [0, count) ("cycle walking": Black and Rogaway, "Ciphers with Arbitrary Finite Domains").

import { hashIntegers } from '../random.js';
import type { Leaf, Step } from '../words.js';

const rounds = 6;

/** The sample at `position` (0 to count - 1) of `epoch`, a bijection for each (seed, epoch). */
export function permute(seed: number, epoch: number, position: number, count: number): number {
  if (count <= 1) return 0;
  const halfBits = Math.ceil(Math.ceil(Math.log2(count)) / 2);
  const half = 2 ** halfBits;
  let value = position;
  do {
    let left = Math.floor(value / half);
    let right = value % half;
    for (let round = 0; round < rounds; round++) {
      const next = (left ^ (hashIntegers(seed, epoch, round, right) % half)) >>> 0;
      left = right;
      right = next;
    }
    value = left * half + right;
  } while (value >= count);
  return value;
}

/** One sample of the training stream: which, and in which epoch (choices hash over both). */
export interface SamplePick {
  readonly sample: number;
  readonly epoch: number;
}

/** The geometry that turns (step, leaf) into samples. */
export interface SampleOrder {
  readonly seed: number;
  /** Number of training samples. */
  readonly samples: number;
  /** Micro-shards a step (M) and images a micro-shard (b). */
  readonly microShards: number;
  readonly microShardSize: number;
}

/** The samples of one micro-shard: stream positions [(step * M + leaf) * b, ... + b). */
export function samplesOf(order: SampleOrder, step: Step, leaf: Leaf): SamplePick[] {
  const first = (step * order.microShards + leaf) * order.microShardSize;
  return Array.from({ length: order.microShardSize }, (_, i) => {
    const epoch = Math.floor((first + i) / order.samples);
    const position = (first + i) % order.samples;
    return { sample: permute(order.seed, epoch, position, order.samples), epoch };
  });
}
