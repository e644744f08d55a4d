// What the training loop and the thread that stores its checkpoints say to each other.

import type { EncodedPart } from '../../shared/checkpoint/parts.js';
import type { WorkerMessage } from '../../shared/control/messages.js';
import type { Step } from '../../shared/words.js';
import type { CloneableStoreOptions } from '../../shared/store/open-store.js';

/** What the thread is started with. */
export interface SaverSetup {
  readonly runUrl: string;
  readonly storeOptions: CloneableStoreOptions;
}

/** This worker's share of a checkpoint, copied out of the state. */
export interface Snapshot {
  readonly step: Step;
  /** Digest of the whole state. */
  readonly stateDigest: string;
  /** The files to store. */
  readonly parts: readonly EncodedPart[];
  /** The first share also tells the coordinator what the whole checkpoint consists of. */
  readonly whole: WholeCheckpoint | undefined;
}

export interface WholeCheckpoint {
  /** Names of all parts. */
  readonly parts: readonly string[];
  /** All parameters, network by network, for their sum. */
  readonly parameters: readonly Float32Array[];
  readonly updates: Readonly<Record<string, number>>;
  readonly skippedInARow: number;
}

export type FromSaver =
  | { readonly kind: 'tell'; readonly message: WorkerMessage }
  | { readonly kind: 'stored' }
  | { readonly kind: 'failed'; readonly reason: string };
