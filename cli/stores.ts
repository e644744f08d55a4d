// Where runs lie, and how commands reach an object store: by the environment, with a note whenever
// it keeps them waiting.

import { readEnvironment } from '../shared/environment.js';
import { openStore, type StoreOptions } from '../shared/store/open-store.js';
import type { ObjectStore } from '../shared/store/store.js';
import { printNote } from './output.js';

/** Folder below which `lockstep train` keeps local runs. */
const localRunsUrl = 'file://runs';

/** The url of RUN: a file:// or s3:// folder as given, else the local run of that id. */
export function runUrl(run: string): string {
  if (/^(s3|file):\/\//.test(run)) return run.replace(/\/+$/, '');
  return `${localRunsUrl}/${run}`;
}

/** The id of a run: the last part of its url. */
export function runId(url: string): string {
  return url.replace(/\/+$/, '').split('/').at(-1) ?? url;
}

/** Store options of this process. */
export function storeOptions(): StoreOptions {
  return {
    s3: readEnvironment().s3,
    onRetry: ({ what, reason, waitMs }) =>
      printNote(`can't ${what}: ${reason}; again in ${(waitMs / 1000).toFixed(1)} s`),
  };
}

/** Calls `use` with the store at `url`, and closes it. */
export async function withStore<T>(
  url: string,
  use: (store: ObjectStore) => Promise<T>,
): Promise<T> {
  const store = openStore(url, storeOptions());
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}
