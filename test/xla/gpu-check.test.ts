// The check for GPUs, in small and on the plugin for CPUs: that it runs through, finds all well and
// ends with one JSON; and that it fails where there is no device.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';
import { findPlugin } from '../../worker/engine/xla/plugin.js';
import { skipWithoutXla } from '../support/servers.js';

const check = (environment: Record<string, string>, ...args: string[]) =>
  spawnSync(process.execPath, [packageFile('dist/test/gpu/check.js'), '--quick', ...args], {
    encoding: 'utf8',
    env: childEnvironment(environment),
  });

describe('the check for GPUs', { skip: skipWithoutXla }, () => {
  it('runs in small on the plugin for CPUs', () => {
    const { status, stdout, stderr } = check({}, '--provider', 'cpu');
    assert.equal(status, 0, stderr);
    const { isFine, parts, table, leftOut } = JSON.parse(stdout.trim());
    assert.equal(isFine, true);
    assert.deepEqual(
      parts.map(({ name }: { name: string }) => name),
      ['devices', 'kernels against the CPU', '1 worker and 2', 'memory over 20 steps', 'transfers'],
    );
    assert.match(parts[2].found.sha256, /^[0-9a-f]{64}$/);
    assert.equal(table.length, 1);
    assert.ok(table[0].step_s > 0 && table[0].compile_s > 0);
    assert.deepEqual(leftOut, []);
  });

  it('fails without a device, and says so in its JSON', () => {
    // A plugin for CPUs is none for NVIDIA's.
    const plugin = { LOCKSTEP_XLA_PLUGIN: findPlugin('cpu').path };
    const { status, stdout } = check(plugin, '--provider', 'cuda');
    assert.equal(status, 1);
    const { isFine, parts } = JSON.parse(stdout.trim());
    assert.equal(isFine, false);
    assert.match(parts[0].failure, /the plugin can not start: .*machine for cuda/s);
  });
});
