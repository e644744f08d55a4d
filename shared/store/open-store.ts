// Opens the store that a url names. The one place that knows which kinds there are.

import { createDeferredStore } from './deferred-store.js';
import { createFileStore } from './file-store.js';
import type { S3StoreOptions } from './s3-store.js';
import { parseStoreUrl } from './store-url.js';
import type { ObjectStore } from './store.js';

/** S3's endpoint, region and credentials; what to tell before a retry. */
export type StoreOptions = S3StoreOptions;

/**
 * Opens `s3://bucket/prefix`, `file://folder` (below the working folder) or `file:///folder`.
 * Nothing is read or written yet; an OperatorError says what is wrong with the url.
 */
export function openStore(url: string, options: StoreOptions = {}): ObjectStore {
  const location = parseStoreUrl(url);
  if (location.kind === 'file') return createFileStore(location.url, location.folder);
  return createDeferredStore(location.url, async () => {
    const { createS3Store } = await import('./s3-store.js');
    return createS3Store(location, options);
  });
}
