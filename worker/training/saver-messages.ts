// What the training loop and the thread that stores its checkpoints say to each other.

import type { PartPlan } from '../../shared/checkpoint/parts.js';
import type { NetworkState } from '../../shared/checkpoint/state.js';
import type { WorkerMessage } from '../../shared/control/messages.js';
import type { Step } from '../../shared/words.js';
import type { NetworkSpec } from '../../task/task.js';
import type { CloneableStoreOptions } from '../data/loader-messages.js';

/** What the thread is started with. */
export interface SaverSetup {
  readonly networks: readonly NetworkSpec[];
  readonly runUrl: string;
  readonly storeOptions: CloneableStoreOptions;
}

/** A copy of the vectors that some parts consist of; vectors that are not needed are empty. */
export interface Snapshot {
  readonly step: Step;
  readonly parts: readonly PartPlan[];
  readonly states: Readonly<Record<string, Omit<NetworkState, 'updates'>>>;
  readonly updates: Readonly<Record<string, number>>;
  /** Whether to tell the coordinator what the whole checkpoint consists of. */
  readonly tellsSnapshot: boolean;
}

export type FromSaver =
  | { readonly kind: 'tell'; readonly message: WorkerMessage }
  | { readonly kind: 'stored' }
  | { readonly kind: 'failed'; readonly reason: string };
