// How commands reach the object store: by the environment, and saying so when it keeps them
// waiting.

import { readEnvironment } from '../shared/environment.js';
import { printNote } from './output.js';
import type { StoreOptions } from '../shared/store/open-store.js';

/** Store options of this process; `say` gets a line for each wait before another try. */
export function storeOptions(say: (text: string) => void = printNote): StoreOptions {
  return {
    s3: readEnvironment().s3,
    onRetry: ({ what, reason, waitMs }) =>
      say(`can't ${what}: ${reason}; again in ${(waitMs / 1000).toFixed(1)} s`),
  };
}
