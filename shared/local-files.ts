// Files and folders of this machine that an operator names. Only a regular file is read, up to a
// bound: a named pipe or a device may never end, and a read of one can't be stopped. What a path
// leads to, and what a system call says of it, is put in words.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  type Stats,
} from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from './problems.js';

/** What the operator can mend, by the code of the system's error. */
export const pathFaults: Readonly<Record<string, string>> = {
  ENOTDIR: 'a part of the path is a file, not a folder',
  ENOENT: 'a folder can not be made there',
  EACCES: 'this user may not read or write there',
  EPERM: 'this user may not write there',
  EROFS: 'nothing can be written there: it is mounted read-only',
  ENAMETOOLONG: 'the path is too long',
  ELOOP: 'the path leads in circles',
};

/** What passes, or what whoever runs the machine can mend. */
const machineFaults: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: make room there, or take another place',
  EDQUOT: "this user's share of the disk is used up: make room there, or take another place",
  EFBIG: 'the file would be larger than this process may write (ulimit -f)',
  EMFILE: 'this process may open no more files: raise its limit (ulimit -n)',
  ENFILE: 'the system has too many open files: end other programs',
  EIO: 'the device has failed',
  ESTALE: 'the folder of the network file system has gone: mount it again',
};

/** What a system call's error says to an operator; undefined for any other error. */
export interface SystemFault {
  /** "the disk is full: ... (ENOSPC), at /x/y" */
  readonly text: string;
  /** It is the operator's place that is wrong, not the machine. */
  readonly isMistake: boolean;
}

/** Puts a failed system call in words, without its path where the caller names that. */
export function systemFault(error: unknown, withPath = true): SystemFault | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code = '', syscall, path } = error as NodeJS.ErrnoException;
  const words = pathFaults[code] ?? machineFaults[code];
  // A file that is not there may be one that was to be read, which its reader names.
  if (syscall === undefined || words === undefined || code === 'ENOENT') return undefined;
  const place = withPath && path !== undefined ? `, at ${path}` : '';
  return { text: `${words} (${code})${place}`, isMistake: code in pathFaults };
}

/** To open for reading without waiting for the other end of a named pipe. */
export const readAtOnce = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Why a path can't be read, in words; a system's error without any keeps its own. */
export function readFault(path: string, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT')
    return isLink(path) ? 'it is a link that leads nowhere' : 'it is not there';
  if (code === 'ENXIO') return 'it is a socket or a device, and no regular file';
  if (code === 'EACCES') return 'this user may not read it';
  return pathFaults[code ?? ''] ?? messageOf(error);
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

/** What is there instead of a regular file; undefined for one. */
export function otherThanFile(found: Stats): string | undefined {
  if (found.isFile()) return undefined;
  if (found.isDirectory()) return 'a folder';
  if (found.isFIFO()) return 'a pipe';
  return found.isSocket() ? 'a socket' : 'a device';
}

/** The bytes of a regular file; rejects with the reason in words, also above `most` bytes. */
export async function readRegularFile(path: string, most: number): Promise<Buffer> {
  const file = await open(path, readAtOnce).catch((error: unknown) => {
    throw new Error(readFault(path, error), { cause: error });
  });
  try {
    const bytes = Buffer.allocUnsafe(sizeToRead(await file.stat(), most));
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await file.close();
  }
}

/** As `readRegularFile`, at once. */
export function readRegularFileSync(path: string, most: number): Buffer {
  let file: number;
  try {
    file = openSync(path, readAtOnce);
  } catch (error) {
    throw new Error(readFault(path, error), { cause: error });
  }
  try {
    const bytes = Buffer.allocUnsafe(sizeToRead(fstatSync(file), most));
    let filled = 0;
    for (let got = -1; got !== 0 && filled < bytes.length; filled += got)
      got = readSync(file, bytes, filled, bytes.length - filled, filled);
    return bytes.subarray(0, filled);
  } finally {
    closeSync(file);
  }
}

function sizeToRead(found: Stats, most: number): number {
  const other = otherThanFile(found);
  if (other !== undefined) throw new Error(`it is ${other}, and no regular file`);
  if (found.size > most) throw new Error(`it has ${found.size} bytes, more than ${most}`);
  return found.size;
}

// Node's own recursive mkdir never ends where a folder can't be made in one that is there (/proc).
/** Makes a folder and those above it; one that is there is left as it is. */
export async function makeFolder(folder: string): Promise<void> {
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
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return true;
    if (code === 'ENOENT') return false;
    // Some systems say of a folder that is there only that it can't be made.
    if ((await stat(folder).catch(() => undefined))?.isDirectory() === true) return true;
    throw error;
  }
}
