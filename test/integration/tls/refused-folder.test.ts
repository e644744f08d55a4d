// Folders of certificates that do not do for a run are refused before there is a run.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();

before(() => writeRuns(folder, { six: {} }));

const coordinator = { role: 'coordinator' } as const;
const worker = (name: string) => ({ role: 'worker', worker: name }) as const;

const missing = () => Promise.resolve(join(folder, 'missing'));
const folderOf = async (...given: Parameters<typeof createTlsFolder>): Promise<string> =>
  (await createTlsFolder(...given)).folder;
const train = ['train', '-f', 'six.yaml', '--workers', '2', '--json'];

for (const [what, args, dir, words] of [
  ['train: no folder', train, missing, /--tls-dir: given ".*\/missing\/ca\.crt"/],
  [
    'train: no certificate of its second worker',
    train,
    () => folderOf('odd', [coordinator, worker('worker-0')]),
    /--tls-dir: given ".*\/worker-worker-1\.crt"/,
  ],
  [
    'train: certificates of another run',
    train,
    () => folderOf('other', [coordinator, worker('worker-0'), worker('worker-1')]),
    /--tls-dir: given "coordinator of other"; allowed: a certificate of the coordinator of odd/,
  ],
  [
    'train: a worker of another run',
    train,
    async () => {
      const tls = await createTlsFolder('odd', [coordinator, worker('worker-0')]);
      await tls.issue(worker('worker-1'), 'other');
      return tls.folder;
    },
    /given "worker worker-1 of other"; allowed: a certificate of worker worker-1 of odd/,
  ],
  [
    'coordinator: no folder',
    ['coordinator', '-f', 'six.yaml', '--listen', '127.0.0.1:0'],
    missing,
    /--tls-dir: given ".*\/missing\/ca\.crt"/,
  ],
  [
    'coordinator: certificates of another run',
    ['coordinator', '-f', 'six.yaml', '--listen', '127.0.0.1:0'],
    () => folderOf('other', [coordinator]),
    /given "coordinator of other"; allowed: a certificate of the coordinator of odd/,
  ],
] as const)
  test(`${what}: no run is opened`, async () => {
    const asked = [...args, '--run', 'odd', '--tls-dir', await dir()];
    const { code, lines, stderr } = await runLockstep(asked, folder);
    assert.equal(code, exitCodes.configuration, stderr);
    assert.match(stderr, words);
    assert.deepEqual(lines, []);
    assert.equal(existsSync(join(folder, 'runs', 'odd')), false);
  });

test('a folder that the environment names is looked at as well', async () => {
  const environment = { LOCKSTEP_TLS_DIR: await missing() };
  const { code, stderr } = await runLockstep([...train, '--run', 'odd'], folder, environment);
  assert.equal(code, exitCodes.configuration, stderr);
  assert.match(stderr, /missing\/ca\.crt/);
  assert.equal(existsSync(join(folder, 'runs', 'odd')), false);
});
