// A lock on one object of a file store, held for the moment of a replacement. A lock file made
// with O_EXCL; one whose holder is dead (same machine) or that is old is broken. It must not know
// what is done under it.

import { randomBytes } from 'node:crypto';
import { open, readFile, rename, stat, unlink, link } from 'node:fs/promises';
import { hostname } from 'node:os';

/** A lock is held for two system calls; this old, its holder was killed or stopped. */
const staleMs = 10_000;
const waitMs = 20_000;

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** Runs `action` while holding the lock file `path`. */
export async function withFileLock<T>(path: string, action: () => Promise<T>): Promise<T> {
  const token = `${hostname()} ${process.pid} ${randomBytes(8).toString('hex')}`;
  await acquire(path, token);
  try {
    return await action();
  } finally {
    await release(path, token);
  }
}

async function acquire(path: string, token: string): Promise<void> {
  const deadline = Date.now() + waitMs;
  for (;;) {
    try {
      return await create(path, token);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    await breakIfStale(path);
    if (Date.now() > deadline)
      throw new Error(`${path} stays locked; delete it if no program writes there`);
    await new Promise((resolve) => setTimeout(resolve, 2 + Math.random() * 10));
  }
}

async function create(path: string, token: string): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(token);
  } catch (error) {
    // The disk is full: a lock without its holder's name would be in the way for long.
    await unlink(path).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}

async function release(path: string, token: string): Promise<void> {
  // If we were stopped so long that the lock was broken, it may be another's by now.
  const held = await readFile(path, 'utf8').catch(() => undefined);
  if (held === token) await unlink(path).catch(() => undefined);
}

async function breakIfStale(path: string): Promise<void> {
  const seen = await inspect(path);
  if (seen === undefined || !isStale(seen)) return;
  const aside = `${path}-${randomBytes(6).toString('hex')}`;
  const moved = await rename(path, aside).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  // Another may have broken it and taken it between our look and our rename: give it back.
  const taken = await readFile(aside, 'utf8').catch(() => seen.token);
  if (taken !== seen.token) await link(aside, path).catch(() => undefined);
  await unlink(aside).catch(() => undefined);
}

interface SeenLock {
  readonly token: string;
  readonly ageMs: number;
}

async function inspect(path: string): Promise<SeenLock | undefined> {
  try {
    const { mtimeMs } = await stat(path);
    return { token: await readFile(path, 'utf8'), ageMs: Date.now() - mtimeMs };
  } catch {
    return undefined;
  }
}

function isStale({ token, ageMs }: SeenLock): boolean {
  if (ageMs > staleMs) return true;
  const [host, pid] = token.split(' ');
  if (host !== hostname() || pid === undefined) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return codeOf(error) === 'ESRCH';
  }
}
