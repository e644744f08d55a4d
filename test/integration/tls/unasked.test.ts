// Commands that ask a closed run without a certificate say what it wants of them.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openRun } from '../../../coordinator/edge/run-plan.js';
import { claimTerm } from '../../../coordinator/edge/terms.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { openStore } from '../../../shared/store/open-store.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { openClosedDesk, type ClosedDesk } from '../../support/tls/closed-desk.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';
import { runIn, testFolder, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();
let desk: ClosedDesk;

before(async () => {
  await writeRuns(folder, {});
  const tls = await createTlsFolder('closed', [{ role: 'coordinator' }]);
  desk = await openClosedDesk('closed', tls.folder, undefined);
  const store = openStore(`file://${folder}/runs/closed`);
  const plan = { worldSize: 1, until: undefined, nowMs: Date.now(), storeOptions: {} };
  await openRun({ ...plan, run: 'closed', store, spec: runIn(folder), ifExists: 'fail' });
  const startedAt = new Date().toISOString();
  // A pid that nobody has: there is no process to wait for.
  await claimTerm(store, { address: desk.address, pid: 2 ** 31 - 1, host: 'here', startedAt });
  await store.close();
});
after(() => desk.close());

const asked = /the coordinator at 127\.0\.0\.1:\d+ speaks TLS[\s\S]*--tls-dir DIR/;

for (const args of [
  ['chaos', 'closed'],
  ['watch', 'closed', '--once', '--from', 'coordinator'],
])
  test(`${args.join(' ')} ends with what to give`, async () => {
    const { code, stderr } = await runLockstep(args, folder);
    assert.equal(code, exitCodes.failed);
    assert.match(stderr, asked);
    assert.doesNotMatch(stderr, /not going on/);
  });

test('watch --coordinator ends with what to give', async () => {
  const args = ['watch', 'closed', '--once', '--coordinator', desk.address];
  const { code, stderr } = await runLockstep(args, folder);
  assert.equal(code, exitCodes.failed);
  assert.match(stderr, asked);
});

test('watch that may read the folder says it, and reads the folder', async () => {
  const { code, stderr, lines } = await runLockstep(
    ['watch', 'closed', '--once', '--json'],
    folder,
  );
  assert.equal(code, exitCodes.ok, stderr);
  assert.match(stderr, asked);
  assert.equal(lines.length, 1);
});
