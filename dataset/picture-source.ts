// Where the pictures to pack come from: a local folder or a folder of an object store. Lists files
// and reads one whole, within bounds.

import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readRegularFile } from '../shared/local-files.js';
import { messageOf, OperatorError } from '../shared/problems.js';
import { openStore, type StoreOptions } from '../shared/store/open-store.js';
import { parsePlaceOrPath } from '../shared/store/places.js';
import { keyFault, ObjectNotFound, type ObjectStore } from '../shared/store/store.js';
import { maxPictureBytes } from './dataset-index.js';
import { PictureError } from './decode.js';

/** Files that are listed at most, pictures or not. */
const maxSourceFiles = 50_000_000;

/** A file of the source; `path` is relative to the folder, with `/` between its parts. */
export interface SourceFile {
  readonly path: string;
  readonly bytes: number;
}

/** Something that is left out, and why, in words for the operator. */
export interface Skipped {
  readonly file: string;
  readonly reason: string;
}

export interface Listing {
  readonly files: readonly SourceFile[];
  readonly skipped: readonly Skipped[];
}

export interface PictureSource {
  /** As the operator wrote it. */
  readonly url: string;
  /** Every file below the folder, hidden ones and clutter left out, in no particular order. */
  list(): Promise<Listing>;
  /**
   * The bytes of a listed file. Rejects with `PictureError` when this file can't be read or is no
   * longer what it was, and with any other error when the source as a whole can't be read.
   */
  read(file: SourceFile): Promise<Buffer>;
  close(): Promise<void>;
}

/** A source in an object store, which it owns. */
export function createStoreSource(store: ObjectStore): PictureSource {
  return {
    url: store.url,
    async list() {
      const files: SourceFile[] = [];
      const skipped: Skipped[] = [];
      for await (const { key, bytes } of store.list('')) {
        if (isClutter(key) || key.endsWith('/')) continue;
        if (files.length >= maxSourceFiles) throw tooManyFiles(store.url);
        const fault = keyFault(key);
        if (fault === undefined) files.push({ path: key, bytes });
        else skipped.push({ file: key, reason: `its name can't be used: ${fault}` });
      }
      return { files, skipped };
    },
    async read({ path, bytes }) {
      try {
        return checkLength(await store.get(path, { start: 0, end: bytes }), bytes);
      } catch (error) {
        if (error instanceof ObjectNotFound) throw new PictureError("can't be read: it is gone");
        throw error;
      }
    },
    close: () => store.close(),
  };
}

/** Files and folders that systems leave beside pictures, in lower case; others start with a dot. */
const clutter: ReadonlySet<string> = new Set([
  ...['desktop.ini', 'thumbs.db', 'ehthumbs.db', 'picasa.ini', 'icon\r'],
  ...['__macosx', '@eadir', '$recycle.bin', 'system volume information', 'lost+found'],
]);

/** True for files no one means: hidden ones, and what systems leave. */
function isClutter(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.') || clutter.has(part.toLowerCase()));
}

/** The error of a source with more files than are ever listed. */
function tooManyFiles(url: string): Error {
  return new Error(`${url} holds more than ${maxSourceFiles} files`);
}

/** The bytes, if they are as many as were listed and within the bound. */
function checkLength(body: Buffer, listed: number): Buffer {
  if (body.length > maxPictureBytes) throw new PictureError(`larger than ${maxPictureBytes} bytes`);
  if (body.length !== listed)
    throw new PictureError(`changed while it was read: ${body.length} bytes, not ${listed}`);
  return body;
}

/** Opens DIR, file://DIR or s3://bucket/prefix; throws `OperatorError` when there is no folder. */
export async function openPictureSource(
  location: string,
  options: StoreOptions = {},
): Promise<PictureSource> {
  const place = parsePlaceOrPath(location, 'DIR');
  if (place.kind === 's3') return createStoreSource(openStore(place.url, options));
  const { folder } = place;
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new OperatorError('There are no pictures to be found:', [
      { key: 'DIR', given: location, allowed: 'an existing folder, or file:// or s3:// and one' },
    ]);
  return createFolderSource(folder, location);
}

interface Walk {
  readonly root: string;
  readonly files: SourceFile[];
  readonly skipped: Skipped[];
  /** Folders still to read, and links, which wait until every real folder was read. */
  readonly folders: string[];
  readonly links: string[];
  /** Real paths of the folders read. */
  readonly seen: Set<string>;
}

/**
 * The pictures below `folder`, named `url` in messages. Links are followed, but no folder is read
 * twice, so that loops end; the order of visits does not depend on the file system.
 */
function createFolderSource(folder: string, url: string): PictureSource {
  return {
    url,
    async list() {
      const found = { files: [], skipped: [], folders: [''], links: [] };
      const walk = { root: folder, ...found, seen: new Set<string>() };
      await walkFolders(walk);
      return walk;
    },
    async read({ path, bytes }) {
      try {
        return checkLength(await readRegularFile(join(folder, path), maxPictureBytes), bytes);
      } catch (error) {
        if (error instanceof PictureError) throw error;
        throw new PictureError(`can't be read: ${messageOf(error)}`);
      }
    },
    close: () => Promise.resolve(),
  };
}

async function walkFolders(walk: Walk): Promise<void> {
  while (walk.folders.length + walk.links.length > 0) {
    const folder = walk.folders.pop();
    if (folder !== undefined) await visitFolder(walk, folder);
    else await visitFile(walk, walk.links.shift()!, 'a link that leads nowhere');
  }
}

async function visitFolder(walk: Walk, path: string): Promise<void> {
  const real = await realpath(join(walk.root, path));
  if (walk.seen.has(real)) {
    walk.skipped.push({ file: path, reason: 'a link to a folder that was already read' });
    return;
  }
  walk.seen.add(real);
  for (const entry of await readFolder(walk, path)) {
    const below = path === '' ? entry.name : `${path}/${entry.name}`;
    if (isClutter(entry.name)) continue;
    if (entry.isDirectory()) walk.folders.push(below);
    else if (entry.isSymbolicLink()) walk.links.push(below);
    else await visitFile(walk, below, "can't be read");
  }
}

async function readFolder(walk: Walk, path: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(join(walk.root, path), { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (path === '') throw error;
    walk.skipped.push({ file: path, reason: `can't be read: ${messageOf(error)}` });
    return [];
  }
}

/** What Node makes of bytes in a name that are no UTF-8; under that name there is nothing. */
const notUtf8 = '\ufffd';
const unknownName = 'its name is not in UTF-8: rename it';

/** A file, or what a link leads to; `missing` is the reason when there is nothing. */
async function visitFile(walk: Walk, path: string, missing: string): Promise<void> {
  const found = await stat(join(walk.root, path)).catch(() => undefined);
  if (found?.isDirectory() === true) walk.folders.push(path);
  else if (found === undefined)
    walk.skipped.push({ file: path, reason: path.includes(notUtf8) ? unknownName : missing });
  else if (!found.isFile())
    walk.skipped.push({ file: path, reason: 'not a picture: it is no regular file' });
  else if (walk.files.length >= maxSourceFiles) throw tooManyFiles(walk.root);
  else walk.files.push({ path, bytes: found.size });
}
