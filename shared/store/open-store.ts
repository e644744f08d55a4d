// Opens the store that a url names. The one place that knows which kinds there are.

import { isMainThread } from 'node:worker_threads';
import { createDeferredStore } from './deferred-store.js';
import { createFileStore } from './file-store.js';
import type { S3StoreOptions } from './s3-store.js';
import { parseStoreUrl } from './store-url.js';
import type { ObjectStore } from './store.js';
import { tellProcess } from './thread-notices.js';

/** S3's endpoint, region and credentials; how long to try; whom to tell. */
export type StoreOptions = S3StoreOptions;

/** The options that can cross to another thread: plain data. */
export type CloneableStoreOptions = Pick<StoreOptions, 's3' | 'retryPolicy'>;

/** Leaves the functions behind, so that a thread can be given the rest. */
export function cloneableOptions({ s3, retryPolicy }: StoreOptions): CloneableStoreOptions {
  return { s3, retryPolicy };
}

/**
 * Opens `s3://bucket/prefix`, `file://folder` (below the working folder) or `file:///folder`.
 * Nothing is read or written yet; an OperatorError says what is wrong with the url. In a thread,
 * a store that waits tells the process's main thread.
 */
export function openStore(url: string, given: StoreOptions = {}): ObjectStore {
  const options = isMainThread || given.onRetry ? given : { ...given, ...tellProcess() };
  const location = parseStoreUrl(url);
  if (location.kind === 'file') return createFileStore(location.url, location.folder, options);
  return createDeferredStore(location.url, async () => {
    const { createS3Store } = await import('./s3-store.js');
    return createS3Store(location, options);
  });
}
