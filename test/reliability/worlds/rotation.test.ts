// Certificates that are replaced while a run goes on: the authority by one beside the old, then each
// certificate by one of the new authority. No step is lost, nobody is dialled anew, and a newcomer
// that knows the new authority alone joins.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { createAuthority } from '../../../shared/tls/authority.js';
import { certificateName, type Holder } from '../../../shared/tls/certificates.js';
import { lastLineOf } from '../../support/lockstep-command.js';
import { startClosedRun, type ClosedRun } from '../../support/tls/closed-run.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';

const folder = testFolder();
const runs: ClosedRun[] = [];

before(() => {
  const checkpoint = { everySteps: 100_000, keep: 3 };
  return writeRuns(folder, { endless: { steps: 100_000, checkpoint } });
});
after(() => Promise.all(runs.map((run) => run.close())));

const holders: readonly Holder[] = [
  { role: 'coordinator' },
  { role: 'worker', worker: 'w-0' },
  { role: 'worker', worker: 'w-1' },
];

test('certificates are replaced without a lost step, and the bytes are the same', async () => {
  const run = await startClosedRun({
    ...{ run: 'turned', spec: 'endless.yaml', cwd: folder, workers: ['w-0', 'w-1'], worldSize: 2 },
  });
  runs.push(run);
  const { tls, coordinator } = run;
  const workers = ['w-0', 'w-1'].map((one) => run.join(one));
  await coordinator.line('step', (line) => Number(line['step']) >= 3);
  const toldBy = (said: string): number =>
    (said.match(/new certificates in \S+ until/g) ?? []).length;
  const told = (count: number): Promise<void> =>
    until(
      () =>
        toldBy(JSON.stringify(coordinator.lines())) >= count &&
        workers.every((one) => toldBy(one.said()) >= count),
      `${count} new certificates of all`,
      60_000,
    );
  const newer = await createAuthority('a newer one', 1);
  writeFileSync(join(tls.folder, 'ca.crt'), tls.authority.ca + newer.ca);
  await told(1);
  for (const holder of holders) {
    const { cert, key } = await newer.issue([{ run: 'turned', ...holder }]);
    writeFileSync(join(tls.folder, `${certificateName(holder)}.crt`), cert);
    writeFileSync(join(tls.folder, `${certificateName(holder)}.key`), key, { mode: 0o600 });
  }
  await told(2);
  const turned = Number(coordinator.lines().findLast(({ kind }) => kind === 'step')?.['step']);
  await coordinator.line('step', (line) => Number(line['step']) > turned);
  const worlds = (): number => coordinator.lines().filter(({ kind }) => kind === 'world').length;
  assert.equal(worlds(), 1, 'a connection broke');
  const ofNewer = await createTlsFolder('turned', [{ role: 'worker', worker: 'w-2' }], newer);
  run.join('w-2', ofNewer.folder);
  await coordinator.line('world', ({ members }) => (members as unknown[]).length === 3);
  const joined = Number(coordinator.lines().findLast(({ kind }) => kind === 'step')?.['step']);
  await coordinator.line('step', (line) => Number(line['step']) > joined + 2);
  coordinator.process.kill('SIGINT');
  const { code, lines, stderr } = await coordinator.result;
  assert.equal(code, exitCodes.stopped, stderr);
  assert.ok(!lines.some(({ kind }) => kind === 'lost'), 'a worker was lost');
  const { step, sha256 } = lines.at(-1) ?? {};
  const clear = ['train', '-f', 'endless.yaml', '--run', 'clear', '--json', '--stop-after'];
  const alone = await lastLineOf([...clear, String(step)], folder, exitCodes.stopped);
  assert.equal(sha256, alone['sha256']);
});
