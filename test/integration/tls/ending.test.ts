// Certificates that end soon: processes that use them say so, once, and so do `status` and `tls show`.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { createAuthority, loadAuthority } from '../../../shared/tls/authority.js';
import { openCertificates } from '../../../shared/tls/certificates.js';
import { lastLineOf, runLockstep } from '../../support/lockstep-command.js';
import { startClosedRun, type ClosedRun } from '../../support/tls/closed-run.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();
const runs: ClosedRun[] = [];

before(() => writeRuns(folder, { six: {} }));
after(() => Promise.all(runs.map((run) => run.close())));

/** Of a certificate that holds since an hour: its last quarter begins after 20 minutes. */
const quarterOfAnHour = 15 / (24 * 60);

const ending = /(\w+)\.crt ends within a day/g;
const endingsIn = (text: string): string[] =>
  [...text.matchAll(ending)].map(([, name]) => name ?? '');

test('coordinator and worker say once that theirs end, and status names it', async () => {
  const lasting = await createAuthority('a test', 100);
  const authority = await loadAuthority(lasting.ca, lasting.key, quarterOfAnHour);
  const options = { run: 'ending', spec: 'six.yaml', cwd: folder, workers: ['w0'], worldSize: 1 };
  const run = await startClosedRun({ ...options, authority });
  runs.push(run);
  const asked = ['status', 'ending', '--coordinator', run.address, '--tls-dir', run.tls.folder];
  const status = await lastLineOf(asked, folder);
  assert.match(String(status['certificate']), /coordinator\.crt ends within a day/);
  const worker = run.join('w0', undefined, ['--lanes', '2']);
  const { code, lines, stderr } = await run.coordinator.result;
  assert.equal(code, exitCodes.ok, stderr);
  await worker.result;
  const notices = lines.filter(({ kind }) => kind === 'notice').map(({ text }) => String(text));
  assert.deepEqual(endingsIn(notices.join('\n')), ['coordinator']);
  assert.deepEqual(endingsIn(worker.said()), ['w0'], 'lanes say nothing of their own');
});

test('tls show marks what ends soon', async () => {
  const { folder: dir } = await createTlsFolder(
    'ending',
    [{ role: 'coordinator' }],
    await createAuthority('a test', quarterOfAnHour),
  );
  const shown = await runLockstep(['tls', 'show', dir, '--json'], folder);
  assert.equal(shown.code, exitCodes.ok, shown.stderr);
  assert.deepEqual(
    shown.lines.map(({ file, ends_soon }) => [file, ends_soon]),
    [
      ['ca.crt', true],
      ['coordinator.crt', true],
    ],
  );
});

test('an authority that ends before the certificate counts, unless there is a later one', async () => {
  const holder = { role: 'coordinator' } as const;
  const old = await createAuthority('an old one', quarterOfAnHour);
  const lasting = await loadAuthority(old.ca, old.key, 100);
  const { folder: dir } = await createTlsFolder('ending', [holder], lasting);
  const noticeOf = (): string | undefined => {
    const certificates = openCertificates({ folder: dir, holder });
    certificates.close();
    return certificates.endingNotice(Date.now());
  };
  assert.match(noticeOf() ?? '', /ca\.crt ends within a day/);
  writeFileSync(join(dir, 'ca.crt'), old.ca + (await createAuthority('a new one', 100)).ca);
  assert.equal(noticeOf(), undefined);
});
