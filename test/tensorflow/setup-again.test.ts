// A set-up of TensorFlow that is there already: it finds so, tries it, and changes nothing.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { readBuildRecord } from '../../cli/setup/tensorflow-addon.js';
import { packageFile } from '../../shared/paths.js';
import { addonPath, findAddon } from '../../worker/engine/tensorflow/addon.js';
import { skipWithoutTensorflow } from '../support/servers.js';

const setUp = (...args: string[]) =>
  spawnSync(
    process.execPath,
    [packageFile('bin/lockstep.js'), 'setup', 'tensorflow', ...args, '--json'],
    { encoding: 'utf8' },
  );

test('setting up again has nothing to do', { skip: skipWithoutTensorflow }, async (t) => {
  const addon = findAddon();
  const record = await readBuildRecord(addon);
  if (record === undefined) return t.skip('the addon was not built by lockstep setup');
  const before = statSync(addonPath(addon)).mtimeMs;
  const { status, stdout, stderr } = setUp('--library', record.library);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /the addon is built against .* already/);
  assert.match(String(JSON.parse(stdout).fingerprint), /^tensorflow\/[\d.]+\//);
  assert.equal(statSync(addonPath(addon)).mtimeMs, before);
});

test('two sources of a library are refused', () => {
  for (const other of ['--stock', '--wheel=x.whl']) {
    const { status, stderr } = setUp('--library', '/nowhere', other);
    assert.equal(status, 78, stderr);
    assert.match(stderr, /mutually exclusive/);
  }
});
