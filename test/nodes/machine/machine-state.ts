// The state of the machine that a test cluster must leave as it was.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { clusterFolder, clusterGroup } from './places.js';

/** Settings that change by themselves, and those of each network's own count of connections. */
const lively = new RegExp(
  [
    String.raw`^fs/(dentry-state|inode-|file-nr|aio-nr|epoll|quota|mount-nr)`,
    'random/|ns_last_pid|pty/nr|_count$|cad_pid|bpf_stats|sched_domain|perf_event_max_sample',
  ].join('|'),
);
/** What container programs make on a machine when nobody minds. */
const folders = [
  ...['/run/containerd', '/run/netns', '/run/flannel', '/run/xtables.lock', '/etc/cni'],
  ...['/var/lib/kubelet', '/var/lib/containerd', '/var/lib/cni', '/opt/cni', '/opt/containerd'],
  ...['/var/log/pods', '/var/log/containers', '/usr/libexec/kubernetes', clusterFolder],
];

/** All below a folder that can be read, by path. */
function settingsBelow(folder: string): [string, string][] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry): [string, string][] => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return settingsBelow(path);
    const name = path.slice('/proc/sys/'.length);
    try {
      if (lively.test(name) || (statSync(path).mode & 0o444) === 0) return [];
      return [[name, readFileSync(path, 'utf8')]];
    } catch {
      return [];
    }
  });
}

/** The cluster's cgroups that exist. */
export function groupsOfOurs(): string[] {
  const top = '/sys/fs/cgroup';
  const all = [top, ...readdirSync(top).map((name) => join(top, name))];
  return all.map((folder) => join(folder, clusterGroup)).filter((path) => existsSync(path));
}

/** The command lines, with zeros between words, of the cluster's processes and its supervisor. */
export function processesOfOurs(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    })
    .filter((words) => words.includes(clusterFolder) || words.includes('machine/supervisor.js'));
}

/** The state of the machine that must not change. */
export function machineState(): Record<string, unknown> {
  return {
    settings: Object.fromEntries(settingsBelow('/proc/sys')),
    mounts: readFileSync('/proc/self/mounts', 'utf8'),
    networks: readFileSync('/proc/net/dev', 'utf8').match(/^ *\S+:/gm),
    routes: readFileSync('/proc/net/route', 'utf8'),
    groups: groupsOfOurs(),
    folders: folders.filter((path) => existsSync(path)),
    processes: processesOfOurs(),
  };
}
