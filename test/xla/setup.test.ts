// `setup xla`: a plugin that is there already is noted and tried, what is none is refused, and
// `doctor` finds what was set up.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFile, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runPython } from '../../cli/setup/wheels.js';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';
import { findPlugin } from '../../worker/engine/xla/plugin.js';
import { skipWithoutXla } from '../support/servers.js';

describe('the set-up of XLA', { skip: skipWithoutXla }, () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'lockstep-setup-xla-'))));
  after(() => rm(folder, { recursive: true }));

  /** A command in a cache folder of the test's own. */
  const lockstep = (...args: string[]) => lockstepIn({}, ...args);
  const lockstepIn = ({ plugin, cwd }: { plugin?: string; cwd?: string }, ...args: string[]) =>
    spawnSync(process.execPath, [packageFile('bin/lockstep.js'), ...args], {
      ...{ encoding: 'utf8', cwd },
      env: childEnvironment({ XDG_CACHE_HOME: folder, LOCKSTEP_XLA_PLUGIN: plugin }),
    });

  it('notes a plugin of the machine, and doctor finds it', () => {
    const missing = lockstep('doctor', '--plugin', 'cpu');
    assert.equal(missing.status, 78);
    assert.match(missing.stderr, /plugin for cpu: missing; .*npm run setup:xla -- --cpu/);
    const { path } = findPlugin('cpu');
    for (let time = 0; time < 2; time++) {
      const { status, stdout, stderr } = lockstep('setup', 'xla', '--plugin', path, '--json');
      assert.equal(status, 0, stderr);
      assert.equal(JSON.parse(stdout).platform, 'cpu');
    }
    const { status, stdout, stderr } = lockstep('doctor', '--plugin', 'cpu', '--json');
    assert.equal(status, 0, stderr);
    const report = JSON.parse(stdout);
    assert.equal(report.plugin, path);
    assert.match(report.version, /^0\.\d+-[0-9a-f]{12}$/);
    assert.ok(report.devices.length > 0);
  });

  it('knows a plugin by the file that is there now', async () => {
    const copy = join(folder, 'pjrt-cpu-copy.so');
    await copyFile(findPlugin('cpu').path, copy);
    const set = lockstep('setup', 'xla', '--plugin', copy, '--json');
    assert.equal(set.status, 0, set.stderr);
    // As another build of it that takes its place.
    await appendFile(copy, 'x');
    const { status, stdout, stderr } = lockstep('doctor', '--plugin', 'cpu', '--json');
    assert.equal(status, 0, stderr);
    assert.notEqual(JSON.parse(stdout).version, JSON.parse(set.stdout).version);
    const inFolder = { plugin: 'pjrt-cpu-copy.so', cwd: folder };
    const relative = lockstepIn(inFolder, 'doctor', '--plugin', 'cpu', '--json');
    assert.equal(relative.status, 0, relative.stderr);
    assert.equal(JSON.parse(relative.stdout).version, JSON.parse(stdout).version);
  });

  it('refuses what is no plugin, and keeps the one that it has', async () => {
    const before = lockstep('setup', 'xla', '--plugin', findPlugin('cpu').path);
    assert.equal(before.status, 0, before.stderr);
    const object = join(folder, 'no-pjrt-cpu.so');
    await writeFile(object, 'no shared object');
    const { status, stderr } = lockstep('setup', 'xla', '--plugin', object);
    assert.equal(status, 78, stderr);
    assert.match(stderr, /this is no plugin that Lockstep can use/);
    const nested = lockstep('setup', 'xla', '--cpu', '--plugin', folder);
    assert.equal(nested.status, 78, nested.stderr);
    assert.match(nested.stderr, /this is no plugin that Lockstep can use/);
    const kept = lockstep('doctor', '--plugin', 'cpu', '--json');
    assert.equal(JSON.parse(kept.stdout).plugin, findPlugin('cpu').path);
    const wheel = join(folder, 'nothing-1.0-py3-none-any.whl');
    const script = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1], "w").writestr("a/b.txt", "")';
    await runPython([script, wheel]);
    const empty = lockstep('setup', 'xla', '--cpu', '--wheel', wheel);
    assert.equal(empty.status, 78, empty.stderr);
    assert.match(empty.stderr, /the wheels have no plugin/);
    // What is added is not taken for what is unpacked already.
    const second = join(folder, 'more-1.0-py3-none-any.whl');
    await runPython([script.replace('a/b.txt', 'pjrt.so'), second]);
    const both = lockstep('setup', 'xla', '--cpu', '--wheel', wheel, '--wheel', second);
    assert.equal(both.status, 78, both.stderr);
    assert.match(both.stderr, /this is no plugin that Lockstep can use/);
    const nowhere = lockstep('setup', 'xla', '--cpu', '--wheel', '/nowhere.whl');
    assert.equal(nowhere.status, 78, nowhere.stderr);
    assert.match(nowhere.stderr, /--wheel: given "\/nowhere.whl"/);
  });

  it('takes one kind of device only', () => {
    const { status, stderr } = lockstep('setup', 'xla', '--cpu', '--cuda', '13');
    assert.equal(status, 78, stderr);
    assert.match(stderr, /mutually exclusive/);
  });
});
