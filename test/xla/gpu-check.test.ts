// The check for GPUs, in small and on the plugin for CPUs: that it runs through, finds all well and
// ends with one JSON; and that it fails where there is no device.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runProgram } from '../../cli/processes.js';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';
import { findPlugin } from '../../worker/engine/xla/plugin.js';
import { skipWithoutXla } from '../support/servers.js';

describe('the check for GPUs', { skip: skipWithoutXla }, () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'lockstep-gpu-check-'))));
  after(() => rm(folder, { recursive: true }));

  it('runs in small on the plugin for CPUs, packed for a machine without Node', async () => {
    const pack = [packageFile('dist/test/gpu/pack.js'), folder, '--fast'];
    await runProgram(process.execPath, pack, { whenMissing: '' });
    await runProgram('sh', [join(folder, 'unpack.sh')], { whenMissing: '' });
    const { status, stdout, stderr } = spawnSync(
      '/bin/sh',
      [join(folder, 'check'), '--provider', 'cpu', '--quick'],
      { encoding: 'utf8', env: { PATH: '/nowhere', LOCKSTEP_XLA_PLUGIN: findPlugin('cpu').path } },
    );
    assert.equal(status, 0, stderr);
    const { isFine, parts, table, leftOut } = JSON.parse(stdout.trim());
    assert.equal(isFine, true);
    const names = parts.map(({ name }: { name: string }) => name);
    const memory = 'memory over 20 steps';
    const expected = ['devices', 'kernels against the CPU', '1 worker and 2', memory, 'transfers'];
    assert.deepEqual(names, expected);
    assert.match(parts[2].found.sha256, /^[0-9a-f]{64}$/);
    assert.equal(table.length, 1);
    assert.ok(table[0].step_s > 0 && table[0].compile_s > 0);
    assert.deepEqual(leftOut, []);
  });

  it('fails without a device, and says so in its JSON', () => {
    const { status, stdout } = spawnSync(
      process.execPath,
      [packageFile('dist/test/gpu/check.js'), '--provider', 'cuda', '--quick'],
      // A plugin for CPUs is none for NVIDIA's.
      { encoding: 'utf8', env: childEnvironment({ LOCKSTEP_XLA_PLUGIN: findPlugin('cpu').path }) },
    );
    assert.equal(status, 1);
    const { isFine, parts } = JSON.parse(stdout.trim());
    assert.equal(isFine, false);
    assert.match(parts[0].failure, /cuda/);
  });
});
