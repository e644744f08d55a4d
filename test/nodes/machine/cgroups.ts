// The cgroups of the test cluster, version 1: one in each hierarchy, with shares enough beside a
// busy machine. They say which processes are the cluster's: whatever is in them is killed at the
// end, however it was started.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { until } from '../../support/until.js';
import { clusterGroup } from './places.js';

/** Of the CPU; a process outside weighs 1024. */
const shares = 4096;
/** Longest wait for processes to go after SIGKILL, under load. */
const goneMs = 60_000;

/** Where hierarchies of those types are mounted. */
function mountsOf(...types: readonly string[]): string[] {
  const rows = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return rows.flatMap((line) => {
    const [, mount = '', type = ''] = line.split(' ');
    return types.includes(type) ? [mount] : [];
  });
}

/** The hierarchies that processes are put into. */
const hierarchies = (): string[] => mountsOf('cgroup');

const controllers = ['cpu', 'cpuset', 'memory', 'pids'];

/** Why no cgroup can be made here that holds pods; undefined when one can. */
export function cgroupProblem(): string | undefined {
  const all = hierarchies();
  // With version 2 nobody has tried it.
  if (all.length === 0) return 'cgroups of version 1';
  const offered = all.flatMap((mount) => basename(mount).split(','));
  const missing = controllers.filter((name) => !offered.includes(name));
  if (missing.length > 0) return `the cgroup hierarchies ${missing.join(', ')}`;
  const probes = all.map((mount) => join(mount, `${clusterGroup}-probe-${process.pid}`));
  try {
    for (const probe of probes) mkdirSync(probe);
    return undefined;
  } catch {
    return 'cgroups that can be written';
  } finally {
    for (const probe of probes) if (existsSync(probe)) rmdirSync(probe);
  }
}

const pathIn = (mount: string, group: string): string => join(mount, clusterGroup, group);

let isSealed = false;

/** From now on nothing new is put into the cluster's cgroups: it is being stopped. */
export function sealGroups(): void {
  isSealed = true;
}

/** Fails once the cluster is being stopped. */
export function assertOpen(): void {
  if (isSealed) throw new Error('the cluster is being stopped');
}

/** Makes a cgroup below the cluster's, in every hierarchy. */
export function createGroup(group: string): void {
  assertOpen();
  for (const mount of hierarchies())
    for (const path of [pathIn(mount, ''), pathIn(mount, group)]) {
      mkdirSync(path, { recursive: true });
      prepare(path);
    }
}

function prepare(path: string): void {
  const set = (file: string, value: string | number): void => {
    if (existsSync(join(path, file))) writeFileSync(join(path, file), `${value}`);
  };
  set('cpu.shares', shares);
  // A new cpuset has nothing, and takes no process.
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    if (existsSync(join(path, file))) set(file, readFileSync(join(dirname(path), file), 'utf8'));
}

/** Whether a cgroup of the cluster is there. */
export const hasGroup = (group: string): boolean =>
  hierarchies().every((mount) => existsSync(pathIn(mount, group)));

/** A shell's words that put the shell itself into a cgroup of the cluster. */
export function enterGroup(group: string): string {
  return hierarchies()
    .map((mount) => `echo $$ >${join(pathIn(mount, group), 'cgroup.procs')}`)
    .join('; ');
}

/**
 * The processes of a cgroup of the cluster (`''`: of all) and of those below it; with `part`, only
 * of those whose name has that in it, such as a container's id.
 */
export function pidsIn(group: string, part = ''): number[] {
  const mount = hierarchies().find((path) => basename(path) === 'pids');
  if (mount === undefined) return [];
  return foldersBelow(pathIn(mount, group))
    .filter((folder) => basename(folder).includes(part))
    .flatMap((folder) => (readIfThere(join(folder, 'cgroup.procs')) ?? '').split('\n'))
    .filter(Boolean)
    .map(Number);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** The folder and all below it, the deepest first; none where it is not. */
function foldersBelow(folder: string): string[] {
  let below: string[];
  try {
    below = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(folder, name));
  } catch {
    return [];
  }
  return [...below.flatMap(foldersBelow), folder];
}

/** Kills all that is in the cluster's cgroups. */
export async function killGroups(): Promise<void> {
  await until(
    () => {
      const pids = pidsIn('');
      for (const pid of pids) killIfThere(pid);
      return pids.length === 0;
    },
    'all processes of the cluster are gone',
    goneMs,
  );
}

/**
 * Takes the cgroups of the cluster away, in which nothing is any more. Kubelets make theirs in a
 * hierarchy of version 2 too, where one lies beside the others.
 */
export async function removeGroups(): Promise<void> {
  await until(
    () => mountsOf('cgroup', 'cgroup2').every((mount) => removeTree(pathIn(mount, ''))),
    'the cgroups of the cluster are gone',
    goneMs,
  );
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** True when nothing of it is left: the kernel needs a moment after the last process. */
function removeTree(folder: string): boolean {
  for (const each of foldersBelow(folder))
    try {
      rmdirSync(each);
    } catch {
      return false;
    }
  return true;
}
