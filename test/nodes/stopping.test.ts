// The test cluster goes away again without a trace, also when its start is interrupted: nothing of
// the machine (settings, cgroups, mounts, networks, folders, processes) is left changed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';
import { until } from '../support/until.js';
import { removeLeftCluster, startSupervisor } from './cluster.js';
import { machineState, processesOfOurs } from './machine/machine-state.js';
import { skipWithoutNodes } from './machine/requirements.js';

const startedMs = 300_000;

describe('a test cluster that starts', { skip: await skipWithoutNodes() }, () => {
  let untouched: Record<string, unknown>;
  before(async () => {
    await removeLeftCluster();
    untouched = machineState();
  });
  // Whatever failed: nothing stays.
  after(removeLeftCluster);

  it('is gone after its test was killed, and is one at a time', async () => {
    // In the place of a test: a process that starts the supervisor and waits.
    const cluster = packageFile('dist/test/nodes/cluster.js');
    const script = `const { spawnSupervisor } = await import(${JSON.stringify(cluster)});
      console.log(spawnSupervisor().pid);
      setInterval(() => {}, 1000);`;
    const test = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: childEnvironment({}),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [pid] = (await once(createInterface({ input: test.stdout }), 'line')) as [string];
    const hasNodes = (): boolean => processesOfOurs().some((words) => words.includes('/kubelet\0'));
    await until(hasNodes, 'a kubelet runs', startedMs, 200);

    const second = await startSupervisor();
    assert.equal(second.said?.kind, 'refused');
    assert.match(second.said.reason, new RegExp(`another test cluster runs here: process ${pid}$`));

    test.kill('SIGKILL');
    await until(() => !existsSync(`/proc/${pid}`), 'the supervisor has ended', 180_000);
    assert.deepEqual(machineState(), untouched);
  });
});
