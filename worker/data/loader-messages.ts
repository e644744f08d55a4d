// What the loader and its threads say to each other. Plain data, cloned or transferred.

import type { CloneableStoreOptions } from '../../shared/store/open-store.js';
import type { SamplePlace } from './read-sample.js';

/** How pictures become patches; the same in every thread. */
export interface PatchSettings {
  readonly seed: number;
  /** Side of the high-resolution crop. */
  readonly crop: number;
  readonly flip: boolean;
  readonly resize: number;
}

/** What a thread is started with. */
export interface ThreadSettings extends PatchSettings {
  readonly storeUrl: string;
  readonly storeOptions: CloneableStoreOptions;
  /** Decoded pictures that this thread may keep. */
  readonly cacheBytes: number;
}

/** One sample of a job: which, where, and in which epoch. */
export interface JobSample {
  readonly place: SamplePlace;
  /** Index among the training samples. */
  readonly sample: number;
  readonly epoch: number;
}

export type ToThread =
  | { readonly kind: 'prepare'; readonly job: number; readonly samples: readonly JobSample[] }
  /** Jobs below this number are no longer wanted. */
  | { readonly kind: 'forget'; readonly below: number }
  | { readonly kind: 'close' };

export type FromThread =
  | {
      readonly kind: 'ready';
      readonly job: number;
      readonly hr: Float32Array;
      readonly lr: Float32Array;
    }
  | {
      readonly kind: 'failed';
      readonly job: number;
      /** Undefined: not one sample's fault, but a bug; `reason` is its stack. */
      readonly sample: { readonly key: string; readonly shard: string } | undefined;
      readonly reason: string;
    };
