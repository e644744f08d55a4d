// Opens the store that a url names. The one place that knows which kinds there are.

import { isMainThread } from 'node:worker_threads';
import { createFileStore } from './file-store.js';
import { reportToMainThread } from './notices.js';
import { parseStoreUrl } from './places.js';
import type { PatienceOptions } from './retry.js';
import type { S3Options } from './s3-requests.js';
import type { ObjectStore } from './store.js';

/** How a store is reached, how long it is waited for, and who hears of it. */
export interface StoreOptions extends PatienceOptions {
  readonly s3?: S3Options | undefined;
}

/** The options that can cross to another thread: plain data. */
export type CloneableStoreOptions = Pick<StoreOptions, 's3' | 'retryPolicy'>;

/** Leaves the functions behind, so that a thread can be given the rest. */
export function cloneableOptions({ s3, retryPolicy }: StoreOptions): CloneableStoreOptions {
  return { s3, retryPolicy };
}

/**
 * Opens `s3://bucket/prefix`, `file://folder` (below the working folder) or `file:///folder`.
 * Nothing is read or written yet; an OperatorError says what is wrong with the url. In a thread,
 * a store that waits reports to the process's main thread.
 */
export function openStore(url: string, given: StoreOptions = {}): ObjectStore {
  const options = isMainThread || given.onRetry ? given : { ...given, ...reportToMainThread() };
  const location = parseStoreUrl(url);
  if (location.kind === 'file') return createFileStore(location.url, location.folder, options);
  return createDeferredStore(location.url, async () => {
    const { createS3Store } = await import('./s3-store.js');
    return createS3Store(location, options);
  });
}

// The S3 client takes half a second to load, in each process and each thread, and a run in folders
// never needs it.
function createDeferredStore(url: string, create: () => Promise<ObjectStore>): ObjectStore {
  let created: Promise<ObjectStore> | undefined;
  const open = (): Promise<ObjectStore> => (created ??= create());
  return {
    url,
    get: async (key, range) => (await open()).get(key, range),
    head: async (key) => (await open()).head(key),
    put: async (key, body, options) => (await open()).put(key, body, options),
    async *list(prefix) {
      yield* (await open()).list(prefix);
    },
    delete: async (key) => (await open()).delete(key),
    close: async () => {
      if (created !== undefined) await (await created).close();
    },
  };
}
