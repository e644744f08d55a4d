// Files that a command leaves for its operator: nothing is under a name before all of it is there,
// nothing is replaced unless that was asked for, and nothing but a regular file ever is. What a
// killed process left behind is taken away by the next one that writes into the folder.

import type { FileHandle } from 'node:fs/promises';
import { link, lstat, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { makeFolder, otherThanFile, pathFaults } from '../shared/local-files.js';
import { messageOf, OperatorError, type Problem } from '../shared/problems.js';

/** Where a file is to go. */
export interface OutputPlace {
  readonly path: string;
  /** Replaces a file that is there. */
  readonly isForced: boolean;
  /** The option or argument that names it. */
  readonly key: string;
}

/** What stands in the way of a file at `place`; undefined when nothing does. */
export async function outputProblem(place: OutputPlace): Promise<Problem | undefined> {
  const { path, isForced, key } = place;
  const found = await lstat(path).catch(codeOf);
  if (found === 'ENOENT' || found === undefined) return undefined;
  if (typeof found === 'string') return unreachable(place, found);
  const target = found.isSymbolicLink() ? await stat(path).catch(() => undefined) : found;
  const other = target === undefined ? 'a link that leads nowhere' : otherThanFile(target);
  if (other !== undefined)
    return { key, given: path, allowed: 'a regular file', hint: `there is ${other}` };
  const hint = 'or --force to replace it';
  return isForced ? undefined : { key, given: path, allowed: 'a file that is not there yet', hint };
}

/** A file that is being written under another name; owns it until `publish` or `discard`. */
export interface PartialFile {
  readonly path: string;
  /** Open for writing; whoever writes closes it. */
  readonly handle: FileHandle;
  /** Gives the file its name, when all of it is written. */
  publish(): Promise<void>;
  /** Takes it away; of no effect once it is published. */
  discard(): Promise<void>;
}

/** Writes a whole file to its place; gives its path. */
export async function writeOutput(place: OutputPlace, content: Uint8Array): Promise<string> {
  const file = await createPartialFile(place);
  try {
    await writing(place, () => file.handle.writeFile(content).finally(() => file.handle.close()));
    await file.publish();
  } finally {
    await file.discard();
  }
  return place.path;
}

/** Starts a file that will be at `place`, making folders; OperatorError when it can't be there. */
export async function createPartialFile(place: OutputPlace): Promise<PartialFile> {
  const final = await realpath(place.path).catch(() => place.path);
  const folder = dirname(final);
  const path = join(folder, nextName());
  const handle = await writing(place, async () => {
    await makeFolder(folder);
    await deleteLeftovers(folder);
    return open(path, 'wx');
  });
  return {
    path,
    handle,
    publish: () => writing(place, () => publish(path, final, place)),
    discard: () => rm(path, { force: true }),
  };
}

async function publish(path: string, final: string, place: OutputPlace): Promise<void> {
  if (!place.isForced) {
    // A link fails where something has come meanwhile. Some file systems have none.
    const failure = await link(path, final).then(() => 'none', codeOf);
    if (failure === 'none') return rm(path, { force: true });
    const problem = await outputProblem(place);
    if (problem !== undefined) throw new OperatorError(refusal, [problem]);
  }
  await rename(path, final);
}

const refusal = 'the output cannot be written';

/** Does `work` that writes there; what the file system refuses is the operator's problem. */
export async function writing<T>(place: OutputPlace, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // The picture library gives no code, but the system's words.
    if (/no space left|quota exceeded/i.test(messageOf(error)))
      throw new Error(`${refusal}: no space is left at ${place.path}`, { cause: error });
    const code = codeOf(error);
    const problem = code === undefined ? undefined : unreachable(place, code);
    throw problem === undefined ? error : new OperatorError(refusal, [problem]);
  }
}

/** The problem that a system's error is; undefined for one that is not the operator's. */
function unreachable({ path, key }: OutputPlace, code: string): Problem | undefined {
  const hint = pathFaults[code];
  const allowed = 'a place in a folder that can be made and written';
  return hint === undefined ? undefined : { key, given: path, allowed, hint };
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

const partialPrefix = '.lockstep-partial-';
const partialName = /^\.lockstep-partial-([A-Za-z0-9]*)-(\d+)-\d+$/;

/** A process's id says nothing on another machine that shares the folder. */
const thisHost = hostname()
  .replace(/[^A-Za-z0-9]/g, '')
  .slice(0, 64);

/** A file of another machine that was not written to for so long has lost its writer. */
const abandonedMs = 24 * 60 * 60 * 1000;

/** Names of this process's own. */
const own = new Set<string>();

function nextName(): string {
  const name = `${partialPrefix}${thisHost}-${process.pid}-${own.size + 1}`;
  own.add(name);
  return name;
}

async function deleteLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const [, host, pid] = partialName.exec(name) ?? [];
    if (pid === undefined || own.has(name)) continue;
    const path = join(folder, name);
    const isLeft = host === thisHost ? !isOtherProcess(Number(pid)) : await isAbandoned(path);
    if (isLeft) await rm(path, { force: true });
  }
}

/** Whether another process has this id; our own had it before us in a container. */
function isOtherProcess(pid: number): boolean {
  try {
    return pid !== process.pid && process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && found.mtimeMs < Date.now() - abandonedMs;
}
