// A store of a few files in memory, for readers that take one.

import { ObjectNotFound, type ObjectStore } from '../../../shared/store/store.js';

/** A store of these files that can't be written. */
export function storeWith(files: Readonly<Record<string, Buffer>>): ObjectStore {
  const url = 'file:///foreign';
  const found = (key: string): Buffer => {
    const file = files[key];
    if (!Object.hasOwn(files, key) || file === undefined) throw new ObjectNotFound(url, key);
    return file;
  };
  const readOnly = (): Promise<never> => Promise.reject(new Error('a reader writes'));
  return {
    url,
    get: async (key, range) => Buffer.from(found(key).subarray(range?.start, range?.end)),
    head: async (key) =>
      Object.hasOwn(files, key) ? { key, bytes: found(key).length } : undefined,
    put: readOnly,
    delete: readOnly,
    async *list(prefix) {
      for (const [key, { length }] of Object.entries(files))
        if (key.startsWith(prefix)) yield { key, bytes: length };
    },
    close: async () => undefined,
  };
}
