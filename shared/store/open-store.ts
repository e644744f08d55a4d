// Opens the store that a url names. The one place that knows which kinds there are.

import { resolve } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { OperatorError, maskSecrets } from '../problems.js';
import { createFileStore } from './file-store.js';
import { reportToMainThread } from './notices.js';
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

/** A parsed store url. */
export type StoreLocation =
  | { readonly kind: 'file'; readonly url: string; readonly folder: string }
  | {
      readonly kind: 's3';
      readonly url: string;
      readonly bucket: string;
      /** Empty, or ends with a slash. */
      readonly prefix: string;
    };

const allowed = 's3://bucket/prefix, file://folder (below the working folder) or file:///folder';

function refuse(url: string, hint?: string): never {
  throw new OperatorError('this is not the url of an object store', [
    { key: 'url', given: maskSecrets(url), allowed, ...(hint === undefined ? {} : { hint }) },
  ]);
}

/** Parses `s3://bucket/prefix` or `file://folder`; an OperatorError says what is wrong. */
export function parseStoreUrl(url: string): StoreLocation {
  const trimmed = url.replace(/\/+$/, '');
  const file = /^file:\/\/(.*)$/s.exec(url);
  if (file) return parseFile(url, file[1] ?? '', trimmed);
  const s3 = /^s3:\/\/([^/]*)\/?(.*)$/s.exec(trimmed);
  if (!s3) refuse(url);
  return parseS3(url, s3[1] ?? '', s3[2] ?? '', trimmed);
}

function parseFile(url: string, path: string, trimmed: string): StoreLocation {
  if (path === '') refuse(url, 'a folder must follow file://');
  if (path.includes('\0')) refuse(url, 'a folder has no NUL character');
  return { kind: 'file', url: /^file:\/*$/.test(trimmed) ? url : trimmed, folder: resolve(path) };
}

function parseS3(url: string, bucket: string, path: string, trimmed: string): StoreLocation {
  if (bucket.includes('@') || bucket.includes(':'))
    refuse(url, 'credentials and endpoints come from the environment, not from the url');
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{2,62}$/.test(bucket))
    refuse(url, 'a bucket name has 3 to 63 letters, digits, dots and dashes');
  const parts = path.split('/');
  if (path !== '' && parts.some((part) => part === '' || part === '.' || part === '..'))
    refuse(url, 'a prefix has no empty part and no "." or ".."');
  if (Buffer.byteLength(path) > 100) refuse(url, 'a prefix has at most 100 bytes');
  return { kind: 's3', url: trimmed, bucket, prefix: path === '' ? '' : `${path}/` };
}
