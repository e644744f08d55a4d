// Opens what the operator names as the place of pictures: a folder of this machine, by its path
// or as file://, or a folder of an object store.

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { OperatorError } from '../shared/problems.js';
import { openStore, type StoreOptions, parseStoreUrl } from '../shared/store/open-store.js';
import { createFolderSource } from './folder-source.js';
import { createStoreSource, type PictureSource } from './picture-source.js';

/** A source and how to let go of it. */
export interface OpenedSource {
  readonly source: PictureSource;
  close(): Promise<void>;
}

/** Opens DIR, file://DIR or s3://bucket/prefix; throws `OperatorError` when there is no folder. */
export async function openPictureSource(
  location: string,
  options: StoreOptions = {},
): Promise<OpenedSource> {
  if (location.startsWith('s3://')) {
    const store = openStore(location, options);
    return { source: createStoreSource(store), close: () => store.close() };
  }
  const folder = folderOf(location);
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new OperatorError('There are no pictures to be found:', [
      { key: 'DIR', given: location, allowed: 'an existing folder, or file:// or s3:// and one' },
    ]);
  return { source: createFolderSource(folder, location), close: () => Promise.resolve() };
}

function folderOf(location: string): string {
  if (!location.startsWith('file://')) return resolve(location);
  const parsed = parseStoreUrl(location);
  return parsed.kind === 'file' ? parsed.folder : resolve(location);
}
