// Where runs lie, and how commands reach an object store: by the environment, with a note whenever
// it keeps them waiting.

import { readEnvironment } from '../shared/environment.js';
import { OperatorError } from '../shared/problems.js';
import { openStore, type StoreOptions } from '../shared/store/open-store.js';
import { parseStoreUrl, placeForms } from '../shared/store/places.js';
import type { ObjectStore } from '../shared/store/store.js';
import { printNote } from './output.js';

/** Folder below which `lockstep train` keeps local runs. */
const localRunsUrl = 'file://runs';

/** The id of a local run: a plain name. */
const localRunForm = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/;

/** What a run's record holds of its name. */
const longestId = 200;

const runForms = `the id of a local run (letters, digits, ".", "_" and "-"), ${placeForms}`;

export interface RunWord {
  /** Where it was given. */
  readonly key?: string;
  /** What else may stand there, for the message. */
  readonly orElse?: string;
}

/**
 * The url of RUN, from any working folder: a file:// or s3:// folder, else the local run of that
 * id. An OperatorError says what is allowed where it is neither.
 */
export function runUrl(run: string, { key = 'RUN', orElse }: RunWord = {}): string {
  const given = localRunForm.test(run) ? `${localRunsUrl}/${run}` : run;
  const allowed = orElse === undefined ? runForms : `${runForms}, or ${orElse}`;
  const { url } = parseStoreUrl(given, key, allowed);
  if (runId(url).length <= longestId) return url;
  throw new OperatorError('a run can not lie there', [
    { key, given: run, allowed: `a folder of its own, its name at most ${longestId} letters long` },
  ]);
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
