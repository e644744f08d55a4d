// `lockstep tls` as a user calls it: the folder that it makes is one that programs take.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { openCertificates } from '../../../shared/tls/certificates.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { testFolder } from '../../support/tiny-run.js';

test('a folder is made, added to, renewed and shown, and never made twice', async () => {
  const cwd = testFolder();
  const tls = (...args: string[]) => runLockstep(['tls', ...args], cwd);
  const made = await tls('init', 'doors', '--run', 'faces', '--workers', '2', '--json');
  assert.equal(made.code, exitCodes.ok, made.stderr);
  const files = made.lines[0]?.['files'] as string[];
  assert.ok(files.includes('worker-worker-1.crt') && files.includes('observer.key'), `${files}`);
  const folder = join(cwd, 'doors');
  for (const file of files.filter((one) => one.endsWith('.key'))) {
    assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600, file);
    assert.ok(
      !JSON.stringify(made).includes(readFileSync(join(folder, file), 'utf8').slice(30, 90)),
    );
  }
  const again = await tls('init', 'doors', '--run', 'faces', '--workers', '2');
  assert.equal(again.code, exitCodes.configuration);
  assert.match(again.stderr, /a folder that is empty/);
  assert.equal((await tls('add', 'doors', '--run', 'faces', '--workers', 'left')).code, 0);
  const before = readFileSync(join(folder, 'coordinator.crt'), 'utf8');
  assert.equal((await tls('renew', 'doors', '--days', '30')).code, 0);
  assert.notEqual(readFileSync(join(folder, 'coordinator.crt'), 'utf8'), before);
  const shown = await tls('show', 'doors', '--json');
  const left = shown.lines.find(({ who }) => who === 'worker left of faces');
  assert.equal(left?.['days_left'], 29);
  const holder = { role: 'worker', worker: 'left' } as const;
  const certificates = openCertificates({ folder, holder });
  assert.deepEqual(certificates.identities(), [{ run: 'faces', ...holder }]);
  certificates.close();
});

test('an open port is refused with what would be right, unless it is asked for', async () => {
  const cwd = testFolder();
  const worker = ['worker', '--coordinator', '127.0.0.1:1', '--id', 'w', '--patience', '1'];
  const open = [...worker, '--listen', '0.0.0.0:0', '--advertise', 'localhost'];
  const { code, stderr } = await runLockstep(open, cwd);
  assert.equal(code, exitCodes.configuration);
  assert.match(stderr, /--listen[\s\S]*--tls-dir DIR[\s\S]*--insecure/);
  const asked = await runLockstep([...open, '--insecure'], cwd);
  assert.notEqual(asked.code, exitCodes.configuration);
  assert.match(asked.stderr, /without TLS: whoever reaches it can read gradients/);
});
