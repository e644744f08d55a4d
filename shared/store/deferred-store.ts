// A store whose code is loaded with its first use: the S3 client takes half a second to load, in
// each process and each thread, and a run in folders never needs it.

import type { ObjectInfo, ObjectStore } from './store.js';

/** A store at `url` that is made by `create` when it is first asked for something. */
export function createDeferredStore(url: string, create: () => Promise<ObjectStore>): ObjectStore {
  let created: Promise<ObjectStore> | undefined;
  const open = (): Promise<ObjectStore> => (created ??= create());
  return {
    url,
    get: async (key, range) => (await open()).get(key, range),
    head: async (key) => (await open()).head(key),
    put: async (key, body, options) => (await open()).put(key, body, options),
    list: (prefix) => listLater(open, prefix),
    delete: async (key) => (await open()).delete(key),
    close: async () => {
      if (created !== undefined) await (await created).close();
    },
  };
}

async function* listLater(
  open: () => Promise<ObjectStore>,
  prefix: string,
): AsyncGenerator<ObjectInfo, void, undefined> {
  yield* (await open()).list(prefix);
}
