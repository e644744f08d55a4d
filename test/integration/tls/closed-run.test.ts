// Runs of real processes that speak TLS: the bytes are those of a run in clear, certificates are
// replaced while it goes on, and who does not belong to it stays out.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { lastLineOf, runLockstep } from '../../support/lockstep-command.js';
import { startClosedRun, type ClosedRun } from '../../support/tls/closed-run.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';

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
  for (const { result } of workers) assert.equal((await result).code, 0);
});

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
