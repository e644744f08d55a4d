// The cgroups of the test cluster: one in each hierarchy (version 1) or one at all (version 2),
// with shares enough beside a busy machine. They say which processes are the cluster's: whatever
// is in them is killed at the end, however it was started.

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

/** Of the CPU, in cgroup version 1, where a process outside weighs 1024. */
const shares = 32_768;
/** The same in version 2, where others weigh 100. */
const weight = 3200;
/** Longest wait for processes to go after SIGKILL, under load. */
const goneMs = 60_000;

interface Hierarchy {
  readonly mount: string;
  readonly version: 1 | 2;
}

/** All hierarchies of this machine: one of version 2 may lie beside those of version 1. */
function allHierarchies(): Hierarchy[] {
  const rows = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return rows.flatMap((line): Hierarchy[] => {
    const [, mount = '', type] = line.split(' ');
    if (type === 'cgroup') return [{ mount, version: 1 }];
    return type === 'cgroup2' ? [{ mount, version: 2 }] : [];
  });
}

/** The hierarchies that processes are put into. */
function hierarchies(): Hierarchy[] {
  const all = allHierarchies();
  const first = all.filter(({ version }) => version === 1);
  return first.length > 0 ? first : all;
}

const controllers = ['cpu', 'cpuset', 'memory', 'pids'];

/** Why no cgroup can be made here that holds pods; undefined when one can. */
export function cgroupProblem(): string | undefined {
  const all = hierarchies();
  const [second] = all;
  if (second === undefined) return 'cgroups';
  if (second.version === 2) {
    const offered = readFileSync(join(second.mount, 'cgroup.subtree_control'), 'utf8').split(/\s/);
    const missing = controllers.filter((name) => !offered.includes(name));
    if (missing.length > 0) return `the cgroup controllers ${missing.join(', ')}`;
  } else {
    const missing = controllers.filter(
      (name) => !all.some(({ mount }) => basename(mount).split(',').includes(name)),
    );
    if (missing.length > 0) return `the cgroup hierarchies ${missing.join(', ')}`;
  }
  const probe = `${clusterGroup}-probe-${process.pid}`;
  try {
    for (const { mount } of all) mkdirSync(join(mount, probe));
    return undefined;
  } catch {
    return 'cgroups that can be written';
  } finally {
    for (const { mount } of all) if (existsSync(join(mount, probe))) rmdirSync(join(mount, probe));
  }
}

const pathIn = ({ mount }: Hierarchy, group: string): string => join(mount, clusterGroup, group);

let isSealed = false;

/** From now on nothing new is put into the cluster's cgroups: it is being stopped. */
export function sealGroups(): void {
  isSealed = true;
}

function assertOpen(): void {
  if (isSealed) throw new Error('the cluster is being stopped');
}

/** Makes a cgroup below the cluster's, in every hierarchy. */
export function createGroup(group: string): void {
  assertOpen();
  for (const hierarchy of hierarchies())
    for (const path of [pathIn(hierarchy, ''), pathIn(hierarchy, group)]) {
      mkdirSync(path, { recursive: true });
      prepare(hierarchy, path, path === pathIn(hierarchy, ''));
    }
}

function prepare({ version }: Hierarchy, path: string, isTop: boolean): void {
  const set = (file: string, value: string | number): void => {
    if (existsSync(join(path, file))) writeFileSync(join(path, file), `${value}`);
  };
  if (version === 2) {
    set('cpu.weight', weight);
    if (isTop) set('cgroup.subtree_control', controllers.map((name) => `+${name}`).join(' '));
    return;
  }
  set('cpu.shares', shares);
  // A new cpuset has nothing, and takes no process.
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    if (existsSync(join(path, file))) set(file, readFileSync(join(dirname(path), file), 'utf8'));
}

/** A shell's words that put the shell itself into a cgroup of the cluster. */
export function enterGroup(group: string): string {
  assertOpen();
  return hierarchies()
    .map((hierarchy) => `echo $$ >${join(pathIn(hierarchy, group), 'cgroup.procs')}`)
    .join('; ');
}

/**
 * The processes of a cgroup of the cluster (`''`: of all) and of those below it; with `part`, only
 * of those whose name has that in it, such as a container's id.
 */
export function pidsIn(group: string, part = ''): number[] {
  const hierarchy = hierarchies().find(
    ({ mount, version }) => version === 2 || basename(mount) === 'pids',
  );
  if (hierarchy === undefined) return [];
  return foldersBelow(pathIn(hierarchy, group))
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

/** Takes the cgroups of the cluster away, in which nothing is any more. */
export async function removeGroups(): Promise<void> {
  await until(
    () => allHierarchies().every((hierarchy) => removeTree(pathIn(hierarchy, ''))),
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
