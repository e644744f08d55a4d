// A local folder as a source of pictures. Links are followed, but no folder is read twice, so
// that loops end; the order in which folders are visited doesn't depend on the file system.

import type { Stats } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PictureError } from './decode.js';
import {
  checkLength,
  isHidden,
  maxSourceFiles,
  tooManyFiles,
  type PictureSource,
  type Skipped,
  type SourceFile,
} from './picture-source.js';

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

/** Creates the source of the pictures below `folder`, named `url` in messages. */
export function createFolderSource(folder: string, url = folder): PictureSource {
  return {
    url,
    async list() {
      const walk = {
        root: folder,
        files: [],
        skipped: [],
        folders: [''],
        links: [],
        seen: new Set<string>(),
      };
      await walkFolders(walk);
      return walk;
    },
    async read({ path, bytes }) {
      try {
        return await readWhole(join(folder, path), bytes);
      } catch (error) {
        if (error instanceof PictureError) throw error;
        throw new PictureError(`can't be read: ${messageOf(error)}`);
      }
    },
  };
}

async function walkFolders(walk: Walk): Promise<void> {
  for (;;) {
    const path = walk.folders.pop();
    if (path !== undefined) {
      await visitFolder(walk, path);
      continue;
    }
    const link = walk.links.shift();
    if (link === undefined) return;
    await visitLink(walk, link);
  }
}

async function visitFolder(walk: Walk, path: string): Promise<void> {
  const real = await realpath(join(walk.root, path));
  if (walk.seen.has(real)) {
    walk.skipped.push({ file: path, reason: 'a link to a folder that was already read' });
    return;
  }
  walk.seen.add(real);
  const entries = await readFolder(walk, path);
  for (const { name, kind } of entries) {
    const below = path === '' ? name : `${path}/${name}`;
    if (isHidden(name)) continue;
    if (kind === 'folder') walk.folders.push(below);
    else if (kind === 'link') walk.links.push(below);
    else await visitFile(walk, below);
  }
}

type EntryKind = 'folder' | 'link' | 'file';

async function readFolder(walk: Walk, path: string): Promise<{ name: string; kind: EntryKind }[]> {
  try {
    const entries = await readdir(join(walk.root, path), { withFileTypes: true });
    const kinds = entries.map((entry): { name: string; kind: EntryKind } => ({
      name: entry.name,
      kind: entry.isDirectory() ? 'folder' : entry.isSymbolicLink() ? 'link' : 'file',
    }));
    return kinds.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (path === '') throw error;
    walk.skipped.push({ file: path, reason: `can't be read: ${messageOf(error)}` });
    return [];
  }
}

async function visitLink(walk: Walk, path: string): Promise<void> {
  const target = await statOrUndefined(join(walk.root, path));
  if (target === undefined) walk.skipped.push({ file: path, reason: 'a link that leads nowhere' });
  else if (target.isDirectory()) walk.folders.push(path);
  else addFile(walk, path, target);
}

async function visitFile(walk: Walk, path: string): Promise<void> {
  const found = await statOrUndefined(join(walk.root, path));
  if (found === undefined) walk.skipped.push({ file: path, reason: "can't be read" });
  else addFile(walk, path, found);
}

function addFile(walk: Walk, path: string, found: Stats): void {
  if (!found.isFile()) {
    walk.skipped.push({ file: path, reason: 'not a picture: it is no regular file' });
    return;
  }
  if (walk.files.length >= maxSourceFiles) throw tooManyFiles(walk.root);
  walk.files.push({ path, bytes: found.size });
}

async function statOrUndefined(path: string): Promise<Stats | undefined> {
  return stat(path).catch(() => undefined);
}

/** Reads no more than was listed (and one byte, to see that there is no more). */
async function readWhole(path: string, bytes: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const body = Buffer.alloc(bytes + 1);
    let filled = 0;
    while (filled < body.length) {
      const { bytesRead } = await file.read(body, filled, body.length - filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return checkLength(body.subarray(0, filled), bytes);
  } finally {
    await file.close();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
