// What a worker is asked to prepare, and by which means: the words that prepare.ts and its parts
// share.

import type { StoreOptions } from '../../shared/store/open-store.js';
import type { Provider } from '../engine/engine.js';
import type { ToCompute, ToNetwork } from '../network/ports.js';

/** What the network thread asks the compute thread to prepare. */
export type Prepare = ToCompute & { readonly kind: 'prepare' };

/** Tells the network thread; the buffers in `transfer` are moved there. */
export type SendToNetwork = (message: ToNetwork, transfer?: readonly ArrayBuffer[]) => void;

export interface PrepareOptions {
  readonly storeOptions: StoreOptions;
  readonly cacheMib: number;
  /** Threads of the engine at most: the spec may ask for more than this machine has. */
  readonly maxThreads: number;
  /** What the engine is to compute with; undefined: its own choice. */
  readonly provider: Provider | undefined;
  readonly send: SendToNetwork;
  /** Says something to the operator that does not end the run. */
  readonly warn: (text: string) => void;
}
