// `lockstep checkpoints ls|verify RUN` as a script sees it: lines, exit codes, and what it says.

import assert from 'node:assert/strict';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { commitManifest, storePart } from '../../../shared/checkpoint/write.js';
import { readBest, writeBest } from '../../../shared/checkpoint/best.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { specDigest } from '../../../shared/spec/compare.js';
import { loadPreset } from '../../../shared/spec/load.js';
import { openStore } from '../../../shared/store/open-store.js';
import { testFolder } from '../../support/tiny-run.js';
import { runLockstep } from '../../support/lockstep-command.js';

const sum = 'c'.repeat(64);

/** A checkpoint of one part; the commands never look inside parts. */
async function save(folder: string, step: number, isCommitted: boolean): Promise<void> {
  const store = openStore(`file://${folder}`);
  const part = await storePart(store, step, { name: 'generator', body: Buffer.alloc(2000, step) });
  const spec = loadPreset('demo');
  if (isCommitted)
    await commitManifest(store, {
      format: 'lockstep-checkpoint/1',
      run: 'faces',
      step,
      spec,
      specSha256: specDigest(spec),
      datasetIndexSha256: sum,
      fingerprint: 'test',
      worldSize: 2,
      updates: { generator: step },
      parametersSha256: sum,
      parts: [part],
      createdAt: '2026-01-02T03:04:05.000Z',
    });
  await store.close();
}

describe('lockstep checkpoints', () => {
  const folder = testFolder();
  const run = (...args: string[]) => runLockstep(['checkpoints', ...args], folder);
  before(async () => {
    for (const step of [10, 20]) await save(join(folder, 'runs/faces'), step, true);
  });
  it('lists a local run by its id, and any run by its url', async () => {
    for (const name of ['faces', `file://${folder}/runs/faces`]) {
      const { code, lines } = await run('ls', name, '--json');
      assert.equal(code, exitCodes.ok);
      const line = { state: 'finished', created_at: '2026-01-02T03:04:05.000Z', world: 2 };
      assert.deepEqual(
        lines.map(({ bytes, ...rest }) => (assert.ok(Number(bytes) > 2000), rest)),
        [10, 20].map((step) => ({ step, ...line, sha256: sum, fingerprint: 'test' })),
      );
    }
  });

  it('marks the best one, which is none once its checkpoint is gone', async () => {
    const store = openStore(`file://${folder}/runs/faces`);
    const best = async () => (await run('ls', 'faces', '--json')).lines.map((line) => line['best']);
    await writeBest(store, { step: 20, metric: 'psnr', value: 30 });
    await writeBest(store, { step: 10, metric: 'psnr', value: 31.5 });
    assert.deepEqual(await best(), [{ metric: 'psnr', value: 31.5 }, undefined]);
    await writeBest(store, { step: 11, metric: 'psnr', value: 32 });
    assert.deepEqual(await best(), [undefined, undefined]);
    await store.put('checkpoints/best.json', Buffer.from('{"step":'));
    assert.equal(await readBest(store), undefined);
    await store.delete('checkpoints/best.json');
    await store.close();
  });

  it('says that all are whole, and fails when one is not, naming what is wrong', async () => {
    const whole = await run('verify', 'faces', '--json');
    assert.equal(whole.code, exitCodes.ok);
    assert.deepEqual(
      whole.lines.map((line) => line['whole']),
      [true, true],
    );
    await truncate(join(folder, 'runs/faces/checkpoints/step-00000020/generator.safetensors'), 7);
    await save(join(folder, 'runs/faces'), 30, false);
    const torn = await run('verify', 'faces', '--json');
    assert.equal(torn.code, exitCodes.failed);
    const faults = torn.lines.map((line) => (line['faults'] as { kind: string }[])[0]?.kind);
    assert.deepEqual(faults, [undefined, 'short', 'missing']);
    assert.match(torn.stderr, /2 of 3 checkpoints are broken/);
    assert.match(torn.stderr, /lockstep resume faces starts from step 10/);
    assert.equal((await run('verify', 'faces', '--step', '10')).code, exitCodes.ok);
    const { lines } = await run('ls', 'faces', '--json');
    assert.deepEqual(
      lines.map((line) => line['state']),
      ['finished', 'finished', 'unfinished'],
    );
  });

  it('names what is allowed when there is no such run or step', async () => {
    const missing = await run('ls', 'nobody');
    assert.equal(missing.code, exitCodes.configuration);
    assert.match(missing.stderr, /there are no checkpoints.*file:\/\/\/.*\/runs\/nobody/s);
    const step = await run('verify', 'faces', '--step', '11');
    assert.equal(step.code, exitCodes.configuration);
    assert.match(step.stderr, /--step: given 11; allowed: one of 10, 20/);
  });
});
