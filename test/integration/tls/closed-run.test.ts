// Runs of real processes that speak TLS: the bytes are those of a run in clear, certificates are
// replaced while it goes on, and who does not belong to it stays out.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createAdminClient } from '../../../shared/control/admin.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { answerAt } from '../../../shared/tls/answer.js';
import { openCertificates } from '../../../shared/tls/certificates.js';
import { lastLineOf, runLockstep } from '../../support/lockstep-command.js';
import { startClosedRun, type ClosedRun } from '../../support/tls/closed-run.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';

const folder = testFolder();
const runs: ClosedRun[] = [];

before(() => writeRuns(folder, { six: {} }));
after(() => Promise.all(runs.map((run) => run.close())));

async function start(run: string, worldSize: number, workers: string[]): Promise<ClosedRun> {
  const closed = await startClosedRun({ run, spec: 'six.yaml', cwd: folder, workers, worldSize });
  runs.push(closed);
  return closed;
}

test('with TLS the bytes are the same, for workers on several lanes', async () => {
  const clear = ['train', '-f', 'six.yaml', '--run', 'clear', '--json'];
  const { sha256 } = await lastLineOf(clear, folder);
  const run = await start('closed', 2, ['w-0', 'w-1']);
  const workers = ['w-0', 'w-1'].map((one) => run.join(one, undefined, ['--lanes', '2']));
  const { code, lines, stderr } = await run.coordinator.result;
  assert.equal(code, exitCodes.ok, stderr);
  assert.equal(lines.at(-1)?.['sha256'], sha256);
  assert.ok(!lines.some(({ kind }) => kind === 'lost'), 'a worker was lost');
  const said = [JSON.stringify(lines), stderr];
  for (const { result } of workers) {
    const ended = await result;
    assert.equal(ended.code, 0);
    said.push(JSON.stringify(ended.lines), ended.stderr);
  }
  requireNoKeys(run.tls.folder, [...said, ...textsIn(join(folder, 'runs/closed'))]);
});

/** All files below a folder. */
function textsIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
}

/** No line of a private key of the folder is in a text that the run has left. */
function requireNoKeys(dir: string, texts: readonly string[]): void {
  const files = readdirSync(dir).filter((file) => file.endsWith('.key'));
  const secrets = files.flatMap((file) =>
    readFileSync(join(dir, file), 'latin1')
      .split('\n')
      .filter((line) => line.length >= 16 && !line.startsWith('-----')),
  );
  assert.ok(files.length >= 4 && secrets.length >= 2 * files.length, `${secrets.length} lines`);
  assert.ok(
    texts.some((text) => text.includes('checkpoint')),
    'what the run wrote was not read',
  );
  for (const secret of secrets)
    assert.ok(!texts.some((text) => text.includes(secret)), 'a private key was written');
}

test('a stranger stays out, with a reason in words, and the run goes on without it', async () => {
  const run = await start('guarded', 1, ['w-0']);
  const worker = { role: 'worker', worker: 'w-9' } as const;
  const [ofOther, ofRun] = [
    await createTlsFolder('another', [worker, { role: 'operator' }], run.tls.authority),
    await createTlsFolder('guarded', [worker], undefined),
  ];
  // Of the same authority, but of another run: the coordinator is none of its own.
  const strangers = [ofOther, ofRun].map(({ folder: dir }) =>
    run.join('w-9', dir, ['--patience', '4']),
  );
  for (const [i, why] of [
    /certificate is of coordinator of guarded/,
    /not of an authority in ca\.crt/,
  ].entries()) {
    const { code, stderr } = await strangers[i].result;
    assert.notEqual(code, 0);
    assert.match(stderr, why);
  }
  const inClear = ['status', 'guarded', '--coordinator', run.address];
  const unasked = await runLockstep(inClear, folder);
  assert.notEqual(unasked.code, 0);
  assert.match(unasked.stderr, /speaks TLS[\s\S]*--tls-dir/);
  const asks = [...inClear, '--json', '--tls-dir'];
  const foreign = await runLockstep([...asks, ofOther.folder], folder);
  assert.notEqual(foreign.code, 0);
  assert.match(foreign.stderr, /do not accept each other/);
  const { stage } = await lastLineOf([...asks, run.tls.folder], folder);
  assert.equal(stage, 'gathering');
  run.join('w-0');
  const { code, stderr } = await run.coordinator.result;
  assert.equal(code, exitCodes.ok, stderr);
});

test('--tls control closes the port of the coordinator, and workers exchange in clear', async () => {
  const run = await start('halfway', 2, ['w-0', 'w-1']);
  run.join('w-0', undefined, ['--tls', 'control']);
  const holder = { role: 'operator' } as const;
  const certificates = openCertificates({ folder: run.tls.folder, holder });
  const client = createAdminClient(run.address, { certificates });
  let worker = '';
  await until(
    async () => (worker = (await client.getStatus()).workers[0]?.address ?? '') !== '',
    'w-0 is there',
  );
  client.close();
  certificates.close();
  assert.equal(await answerAt(worker), 'clear');
  assert.equal(await answerAt(run.address), 'tls');
  const plain = createAdminClient(run.address);
  await assert.rejects(plain.getStatus());
  plain.close();
  run.join('w-1', undefined, ['--tls', 'control']);
  const { code, stderr } = await run.coordinator.result;
  assert.equal(code, exitCodes.ok, stderr);
});
