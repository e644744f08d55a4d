// What the training step sees of the data: micro-shards, ready when it asks for them.

import type { Leaf, Step } from '../../shared/words.js';

/**
 * One micro-shard. `hr` is [b, crop, crop, 3] in [-1, 1]; `lr` is [b, crop/4, crop/4, 3] in
 * [0, 1], the antialiased bicubic reduction of the same pixels.
 */
export interface MicroBatch {
  readonly hr: Float32Array;
  readonly lr: Float32Array;
}

export interface Loader {
  /** Starts to prepare the given leaves of every step from `step` on, a bounded number ahead. */
  start(step: Step, leaves: readonly Leaf[]): void;
  /** The next micro-shard in that order; rejects with the sample's name when it can't be read. */
  take(step: Step, leaf: Leaf): Promise<MicroBatch>;
  close(): Promise<void>;
}
