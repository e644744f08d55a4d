// An object store in a folder. Atomic on every local file system: bytes go to a temporary file,
// are synced, and then linked (only if absent) or renamed (a replacement, under a lock). It decides
// nothing about keys (store.ts).

import { randomBytes } from 'node:crypto';
import type { BigIntStats, Dirent } from 'node:fs';
import { link, mkdir, open, readdir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { withFileLock } from './file-lock.js';
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
  type PutOptions,
  StoreUnavailable,
} from './store.js';
import { type PatienceOptions, retryOptions, withRetries, type RetryPolicy } from './retry.js';
import { OperatorError, maskSecrets } from '../problems.js';

/**
 * Opens a folder, which need not exist yet, as a store. `url` is what errors name. It fails at
 * once, unless the options have a retry policy.
 */
export function createFileStore(
  url: string,
  folder: string,
  options: PatienceOptions = {},
): ObjectStore {
  const attempts = createFileAttempts(url, options);
  const pathOf = (key: string): string => {
    requireKey(key);
    return join(folder, ...key.split('/'));
  };
  return {
    url,
    async get(key, range) {
      requireRange(range);
      const path = pathOf(key);
      const bytes = await attempts.run(`get ${key}`, () => readRange(path, range));
      if (bytes === undefined) throw new ObjectNotFound(url, key);
      return bytes;
    },
    async head(key) {
      const path = pathOf(key);
      return attempts.run(`look at ${key}`, () => infoOf(key, path));
    },
    async put(key, body, options = {}) {
      const path = pathOf(key);
      const put = (failedTries: number): Promise<string | undefined> =>
        putFile(path, body, options, failedTries);
      const etag = await attempts.run(`put ${key}`, put);
      if (etag === undefined) throw new PreconditionFailed(url, key);
      return { key, bytes: body.byteLength, etag };
    },
    list: (prefix) => listFolder(attempts, folder, prefix),
    async delete(key) {
      const path = pathOf(key);
      await attempts.run(`delete ${key}`, () => remove(path, folder));
    },
    close: async () => undefined,
  };
}

/** The etag of what was written; undefined when the condition does not hold. */
async function putFile(
  path: string,
  body: Uint8Array,
  options: PutOptions,
  failedTries: number,
): Promise<string | undefined> {
  const temporary = await writeTemporary(path, body);
  try {
    if (await publish(path, temporary.path, options)) return temporary.etag;
  } finally {
    await unlink(temporary.path).catch(() => undefined);
  }
  // An earlier try may have been done although the answer of a network file system was lost.
  if (failedTries === 0 || !(await readRange(path))?.equals(body)) return undefined;
  return (await infoOf('', path))?.etag;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function isAbsence(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

// Each file gets a time of its own (writeTemporary), so size, time and inode tell versions apart
// even where inodes are used again at once.
function etagOf(found: BigIntStats): string {
  return `"${found.mtimeNs.toString(16)}-${found.size.toString(16)}-${found.ino.toString(16)}"`;
}

async function statFile(path: string): Promise<BigIntStats | undefined> {
  try {
    const found = await stat(path, { bigint: true });
    return found.isFile() ? found : undefined;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

async function infoOf(key: string, path: string): Promise<ObjectInfo | undefined> {
  const found = await statFile(path);
  return found && { key, bytes: Number(found.size), etag: etagOf(found) };
}

async function readRange(path: string, range?: ByteRange): Promise<Buffer | undefined> {
  const file = await open(path, 'r').catch((error: unknown) => {
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

/** A file beside its later place. Its etag stays: link and rename keep inode and time. */
async function writeTemporary(
  path: string,
  body: Uint8Array,
): Promise<{ readonly path: string; readonly etag: string }> {
  const temporary = join(dirname(path), `${reservedName}tmp-${randomBytes(9).toString('hex')}`);
  const file = await openBelow(temporary);
  try {
    await file.writeFile(body);
    const now = (performance.timeOrigin + performance.now()) / 1000;
    await file.utimes(now, now);
    await file.sync();
    return { path: temporary, etag: etagOf(await file.stat({ bigint: true })) };
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

// Node's own recursive mkdir never ends where a folder can't be made in one that is there (/proc).
async function makeFolder(folder: string): Promise<void> {
  if (await couldMake(folder)) return;
  const parent = dirname(folder);
  if (parent !== folder) await makeFolder(parent);
  await couldMake(folder);
}

/** Whether the folder is there now; false when it has no parent to be in. */
async function couldMake(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return true;
    if (codeOf(error) === 'ENOENT') return false;
    // Some systems say of a folder that is there only that it can't be made.
    if ((await stat(folder).catch(() => undefined))?.isDirectory() === true) return true;
    throw error;
  }
}

const lockOf = (path: string): string => join(dirname(path), `${reservedName}lock-${nameOf(path)}`);
const nameOf = (path: string): string => path.slice(dirname(path).length + 1);

/** Makes the temporary file the object; false when the condition does not hold. */
async function publish(path: string, temporary: string, options: PutOptions): Promise<boolean> {
  const isWritten =
    options.ifAbsent === true
      ? options.ifMatch === undefined && (await publishNew(path, temporary))
      : await publishOver(path, temporary, options.ifMatch);
  if (isWritten) await syncFolder(dirname(path));
  return isWritten;
}

async function publishOver(path: string, temporary: string, ifMatch?: string): Promise<boolean> {
  return withFileLock(lockOf(path), async () => {
    if (ifMatch !== undefined) {
      const found = await statFile(path);
      if (found === undefined || etagOf(found) !== ifMatch) return false;
    }
    await rename(temporary, path);
    return true;
  });
}

const withoutLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

async function publishNew(path: string, temporary: string): Promise<boolean> {
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!withoutLinks.has(codeOf(error) ?? '')) throw error;
  }
  return withFileLock(lockOf(path), async () => {
    if ((await statFile(path)) !== undefined) return false;
    await rename(temporary, path);
    return true;
  });
}

async function syncFolder(folder: string): Promise<void> {
  // Windows can't open folders; there the rename itself must do.
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

async function remove(path: string, root: string): Promise<void> {
  if ((await statFile(path)) === undefined) return;
  await withFileLock(lockOf(path), () =>
    unlink(path).catch((error: unknown) => {
      if (!isAbsence(error)) throw error;
    }),
  );
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
  attempts: FileAttempts,
  folder: string,
  prefix: string,
): AsyncIterable<ObjectInfo> {
  const parts = prefix.split('/').slice(0, -1);
  if (parts.some((part) => part === '' || part === '.' || part === '..')) return;
  const base = parts.map((part) => `${part}/`).join('');
  yield* walk(attempts, join(folder, ...parts), base, prefix);
}

// A folder sorts as its name with a slash, which is how its objects' keys go on.
async function* walk(
  attempts: FileAttempts,
  folder: string,
  base: string,
  prefix: string,
): AsyncIterable<ObjectInfo> {
  const what = `list ${base === '' ? 'everything' : base}`;
  const entries = (await attempts.run(what, () => readEntries(folder)))
    .filter((entry) => !entry.name.startsWith(reservedName))
    .map((entry) => ({ entry, key: `${base}${entry.name}${entry.isDirectory() ? '/' : ''}` }))
    .sort((a, b) => compareKeys(a.key, b.key));
  for (const { entry, key } of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (key.startsWith(prefix) || prefix.startsWith(key))
        yield* walk(attempts, path, key, prefix);
    } else if (key.startsWith(prefix)) {
      const info = await attempts.run(what, () => infoOf(key, path));
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

/** What the operator can mend, and how. */
const mistakes: Readonly<Record<string, string>> = {
  ENOTDIR: 'a part of the path is a file, not a folder',
  ENOENT: 'a folder can not be made there',
  EACCES: 'this user may not read or write there',
  EPERM: 'this user may not write there',
  EROFS: 'nothing can be written there: it is mounted read-only',
  ENAMETOOLONG: 'the path is too long',
  ELOOP: 'the path leads in circles',
};

export interface FileAttempts {
  /**
   * Runs `attempt` until it succeeds, fails for good, or patience ends. `what` is words: "put a".
   * `attempt` is told how many tries failed before.
   */
  run<T>(what: string, attempt: (failedTries: number) => Promise<T>): Promise<T>;
}

/** Creates the attempts of the store at `url`. */
export function createFileAttempts(url: string, options: PatienceOptions): FileAttempts {
  const retry = { ...retryOptions(url, options, once), isTransient };
  return {
    async run(what, attempt) {
      try {
        return await withRetries(what, attempt, retry);
      } catch (error) {
        throw failureOf(error, what, url);
      }
    },
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

/** What the caller should see; an error that is no system call's passes unchanged. */
function failureOf(error: unknown, what: string, url: string): unknown {
  const code = systemCodeOf(error);
  if (code === undefined) return error;
  const hint = mistakes[code];
  if (hint === undefined)
    return new StoreUnavailable(
      url,
      maskSecrets(`can't ${what} in ${url}: ${(error as Error).message}`),
    );
  const allowed = 'a folder that can be made, read and written';
  return new OperatorError(`can't ${what} in ${url} (${code})`, [
    { key: 'url', given: url, allowed, hint },
  ]);
}
