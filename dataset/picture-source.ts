// Where the pictures to pack come from: a local folder or a folder of an object store. Lists
// files and reads one whole, within bounds. Doesn't judge whether a file is a picture.

import { keyFault, ObjectNotFound, type ObjectStore } from '../shared/store/store.js';
import { PictureError } from './decode.js';
import { maxPictureBytes } from './index-format.js';

/** Files that are listed at most, pictures or not. */
export const maxSourceFiles = 50_000_000;

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
  /** Every file below the folder, hidden ones left out, in no particular order. */
  list(): Promise<Listing>;
  /**
   * The bytes of a listed file. Rejects with `PictureError` when this file can't be read or is no
   * longer what it was, and with any other error when the source as a whole can't be read.
   */
  read(file: SourceFile): Promise<Buffer>;
}

/** A source in an object store. The store stays the caller's to close. */
export function createStoreSource(store: ObjectStore): PictureSource {
  return {
    url: store.url,
    async list() {
      const files: SourceFile[] = [];
      const skipped: Skipped[] = [];
      for await (const { key, bytes } of store.list('')) {
        if (isHidden(key) || key.endsWith('/')) continue;
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
  };
}

/** True for files no one means: a part of their path starts with a dot. */
export function isHidden(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.'));
}

/** The error of a source with more files than are ever listed. */
export function tooManyFiles(url: string): Error {
  return new Error(`${url} holds more than ${maxSourceFiles} files`);
}

/** The bytes, if they are as many as were listed and within the bound. */
export function checkLength(body: Buffer, listed: number): Buffer {
  if (body.length > maxPictureBytes) throw new PictureError(`larger than ${maxPictureBytes} bytes`);
  if (body.length !== listed)
    throw new PictureError(`changed while it was read: ${body.length} bytes, not ${listed}`);
  return body;
}
