// The test cluster goes away again without a trace, however its end comes: nothing of the machine
// (settings, cgroups, mounts, networks, folders, processes) is left changed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';
import { until } from '../support/until.js';
import { startSupervisor, supervisorEnds } from './cluster.js';
import { clusterFolder, clusterGroup } from './machine/places.js';
import { skipWithoutNodes } from './machine/requirements.js';

/** Settings that change by themselves, and those of each network's own count of connections. */
const lively =
  /^fs\/(dentry-state|inode-|file-nr|aio-nr|epoll|quota|mount-nr)|random\/|ns_last_pid|pty\/nr|_count$|cad_pid|bpf_stats|sched_domain/;
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

function groupsOfOurs(): string[] {
  const top = '/sys/fs/cgroup';
  const all = [top, ...readdirSync(top).map((name) => join(top, name))];
  return all.map((folder) => join(folder, clusterGroup)).filter((path) => existsSync(path));
}

function processesOfOurs(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return words.includes(clusterFolder) || words.includes('machine/supervisor.js');
      } catch {
        return false;
      }
    });
}

/** The state of the machine that must not change. */
function machineState(): Record<string, unknown> {
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

describe('the test cluster', { skip: await skipWithoutNodes() }, () => {
  let untouched: Record<string, unknown>;
  before(() => {
    untouched = machineState();
  });
  // Whatever failed: nothing stays.
  after(async () => {
    const { supervisor } = await startSupervisor(['clean']);
    await supervisorEnds(supervisor);
  });

  it('is gone after the test that started it was killed, and is one at a time', async () => {
    // In the place of a test: a process that starts the supervisor and waits.
    const cluster = packageFile('dist/test/nodes/cluster.js');
    const script = `const { startSupervisor } = await import(${JSON.stringify(cluster)});
      const { supervisor, said } = await startSupervisor();
      console.log(JSON.stringify({ pid: supervisor.pid, ...said }));
      setInterval(() => {}, 1000);`;
    const test = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: childEnvironment({}),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface({ input: test.stdout }), 'line')) as [string];
    const { kind, pid } = JSON.parse(line) as { kind: string; pid: number };
    assert.equal(kind, 'ready', line);
    assert.notDeepEqual(processesOfOurs(), []);

    const second = await startSupervisor();
    assert.equal(second.said?.kind, 'refused');
    assert.match(second.said.reason, new RegExp(`another test cluster runs here: process ${pid}$`));

    test.kill('SIGKILL');
    await until(() => !existsSync(`/proc/${pid}`), 'the supervisor has ended', 180_000);
    assert.deepEqual(machineState(), untouched);
  });

  it('is taken away by the next one when its supervisor was killed', async () => {
    const { supervisor } = await startSupervisor();
    supervisor.kill('SIGKILL');
    await supervisorEnds(supervisor);
    assert.notDeepEqual(groupsOfOurs(), []);
    const next = await startSupervisor(['clean']);
    await supervisorEnds(next.supervisor);
    assert.equal(next.supervisor.exitCode, 0);
    assert.deepEqual(machineState(), untouched);
  });
});
