// An object store in a folder. Atomic on every local file system: bytes go to a temporary file, are
// synced, and then linked (only if absent) or renamed (a replacement). Network file systems and
// full disks fail for a while: with patience that is waited for, and a command fails at once.

import { randomBytes } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { link, open, readdir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  compareKeys,
  requireKey,
  requireRange,
  reservedName,
  ObjectNotFound,
  PreconditionFailed,
  type ByteRange,
  type ObjectInfo,
  type ObjectStore,
  StoreUnavailable,
} from './store.js';
import { type PatienceOptions, retryOptions, withRetries, type RetryPolicy } from './retry.js';
import { makeFolder, pathFaults, systemFault, readAtOnce } from '../local-files.js';
import { OperatorError, maskSecrets, messageOf } from '../problems.js';

/** How long the folder is waited for, and how hard links are made there. */
export interface FileStoreOptions extends PatienceOptions {
  readonly makeLink?: typeof link | undefined;
}

/**
 * Opens a folder, which need not exist yet, as a store. `url` is what errors name. It fails at
 * once, unless the options have a retry policy.
 */
export function createFileStore(
  url: string,
  folder: string,
  options: FileStoreOptions = {},
): ObjectStore {
  const attempt = createAttempt(url, options);
  const pathOf = (key: string): string => {
    requireKey(key);
    return join(folder, ...key.split('/'));
  };
  return {
    url,
    async get(key, range) {
      requireRange(range);
      const path = pathOf(key);
      const bytes = await attempt(`get ${key}`, () => readRange(path, range));
      if (bytes === undefined) throw new ObjectNotFound(url, key);
      return bytes;
    },
    async head(key) {
      const path = pathOf(key);
      return attempt(`look at ${key}`, () => infoOf(key, path));
    },
    async put(key, body, { ifAbsent = false } = {}) {
      const path = pathOf(key);
      const publish = ifAbsent ? publishNew(options.makeLink ?? link) : publishOver;
      const isWritten = await attempt(`put ${key}`, (failedTries) =>
        putFile(path, body, publish, failedTries),
      );
      if (!isWritten) throw new PreconditionFailed(url, key);
    },
    list: (prefix) => listFolder(attempt, folder, prefix),
    async delete(key) {
      const path = pathOf(key);
      await attempt(`delete ${key}`, () => remove(path, folder));
    },
    close: async () => undefined,
  };
}

/** Makes a temporary file the object at `path`; false when there is one that may not go. */
type Publish = (temporary: string, path: string) => Promise<boolean>;

/** False when there is an object already that may not be replaced. */
async function putFile(
  path: string,
  body: Uint8Array,
  publish: Publish,
  failedTries: number,
): Promise<boolean> {
  const temporary = await writeTemporary(path, body);
  try {
    if (await publish(temporary, path)) {
      await syncFolder(dirname(path));
      return true;
    }
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  // An earlier try may have been done although the answer of a network file system was lost.
  return failedTries > 0 && (await readRange(path))?.equals(body) === true;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function isAbsence(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

async function infoOf(key: string, path: string): Promise<ObjectInfo | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? { key, bytes: found.size } : undefined;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

async function readRange(path: string, range?: ByteRange): Promise<Buffer | undefined> {
  const file = await open(path, readAtOnce).catch((error: unknown) => {
    if (isAbsence(error)) return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const found = await file.stat();
    if (!found.isFile()) return undefined;
    const end = Math.min(range?.end ?? found.size, found.size);
    const start = Math.min(range?.start ?? 0, end);
    const bytes = Buffer.allocUnsafe(end - start);
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, start + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await file.close();
  }
}

/** Writes a file beside its later place. */
async function writeTemporary(path: string, body: Uint8Array): Promise<string> {
  const temporary = join(dirname(path), `${reservedName}tmp-${randomBytes(9).toString('hex')}`);
  const file = await openBelow(temporary);
  try {
    await file.writeFile(body);
    await file.sync();
    return temporary;
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}

// A delete elsewhere may tidy the folder away between our making it and our open.
async function openBelow(path: string): ReturnType<typeof open> {
  for (let tries = 1; ; tries++) {
    try {
      return await open(path, 'wx');
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || tries === 5) throw error;
    }
    await makeFolder(dirname(path));
  }
}

const publishOver: Publish = async (temporary, path) => {
  await rename(temporary, path);
  return true;
};

const withoutLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

// A link makes the name appear with all its bytes, and for one writer only. Where there are no
// links (FAT, some FUSE mounts), the name is taken first, by a file of no bytes, and the bytes
// follow by a rename: still for one writer only. A reader may meet the empty file in between. So it
// stays when the writer is killed in between: as an object that is there and not valid, which
// every reader of manifests, terms and records reports. It is not taken over, since nobody can
// know that its writer is dead.
const publishNew =
  (makeLink: typeof link): Publish =>
  async (temporary, path) => {
    try {
      await makeLink(temporary, path);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      if (!withoutLinks.has(codeOf(error) ?? '')) throw error;
    }
    try {
      await (await open(path, 'wx')).close();
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    }
    try {
      return await publishOver(temporary, path);
    } catch (error) {
      await unlink(path).catch(() => undefined);
      throw error;
    }
  };

async function syncFolder(folder: string): Promise<void> {
  // Windows can't open folders; there the rename itself must do.
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

async function remove(path: string, root: string): Promise<void> {
  if ((await infoOf('', path)) === undefined) return;
  await unlink(path).catch((error: unknown) => {
    if (!isAbsence(error)) throw error;
  });
  // Folders are not objects: empty ones go with their last object.
  for (let folder = dirname(path); folder.startsWith(`${root}/`); folder = dirname(folder)) {
    const isGone = await rmdir(folder).then(
      () => true,
      () => false,
    );
    if (!isGone) return;
  }
}

async function* listFolder(
  attempt: Attempt,
  folder: string,
  prefix: string,
): AsyncIterable<ObjectInfo> {
  const parts = prefix.split('/').slice(0, -1);
  if (parts.some((part) => part === '' || part === '.' || part === '..')) return;
  const base = parts.map((part) => `${part}/`).join('');
  yield* walk(attempt, join(folder, ...parts), base, prefix);
}

// A folder sorts as its name with a slash, which is how its objects' keys go on.
async function* walk(
  attempt: Attempt,
  folder: string,
  base: string,
  prefix: string,
): AsyncIterable<ObjectInfo> {
  const what = `list ${base === '' ? 'everything' : base}`;
  const entries = (await attempt(what, () => readEntries(folder)))
    .filter((entry) => !entry.name.startsWith(reservedName))
    .map((entry) => ({ entry, key: `${base}${entry.name}${entry.isDirectory() ? '/' : ''}` }))
    .sort((a, b) => compareKeys(a.key, b.key));
  for (const { entry, key } of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (key.startsWith(prefix) || prefix.startsWith(key)) yield* walk(attempt, path, key, prefix);
    } else if (key.startsWith(prefix)) {
      const info = await attempt(what, () => infoOf(key, path));
      if (info !== undefined) yield info;
    }
  }
}

async function readEntries(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
}

const once: RetryPolicy = { attempts: 1, baseMs: 0, capMs: 0, totalMs: 0 };

/** A disk that is full or away, a server of files that is, and too many open files. */
const transientCodes = new Set([
  'EAGAIN',
  'EBUSY',
  'EDQUOT',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EINTR',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOLCK',
  'ENOSPC',
  'ENOTCONN',
  'EREMOTEIO',
  'ESTALE',
  'ETIMEDOUT',
]);

/**
 * Runs `action` until it succeeds, fails for good, or patience ends. `what` is words: "put a".
 * `action` is given how many tries failed before.
 */
type Attempt = <T>(what: string, action: (failedTries: number) => Promise<T>) => Promise<T>;

function createAttempt(url: string, options: PatienceOptions): Attempt {
  const retry = { ...retryOptions(url, options, once), isTransient };
  return async (what, action) => {
    try {
      return await withRetries(what, action, retry);
    } catch (error) {
      throw failureOf(error, what, url);
    }
  };
}

function systemCodeOf(error: unknown): string | undefined {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return syscall === undefined ? undefined : code;
}

function isTransient(error: unknown): boolean {
  const code = systemCodeOf(error);
  return code !== undefined && transientCodes.has(code);
}

function wordsOf(error: unknown): string {
  return systemFault(error, false)?.text ?? messageOf(error);
}

/** What the caller should see; an error that is no system call's passes unchanged. */
function failureOf(error: unknown, what: string, url: string): unknown {
  const code = systemCodeOf(error);
  if (code === undefined) return error;
  const hint = pathFaults[code];
  if (hint === undefined)
    return new StoreUnavailable(url, maskSecrets(`can't ${what} in ${url}: ${wordsOf(error)}`));
  const allowed = 'a folder that can be made, read and written';
  return new OperatorError(`can't ${what} in ${url} (${code})`, [
    { key: 'url', given: url, allowed, hint },
  ]);
}
