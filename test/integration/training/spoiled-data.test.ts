// Data that is not what was packed: a run on it ends by the sample's name, with the code of a
// mistake, however often its worker is started again.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();
const shard = join(folder, 'dataset', 'shard-000000.tar');

before(() => writeRuns(folder, { six: {} }));

test('pictures that were changed after packing end the run at the third failure', async () => {
  const bytes = await readFile(shard);
  // In every block, so in every picture.
  for (let at = 300; at < bytes.length; at += 512) bytes[at] ^= 1;
  await writeFile(shard, bytes);
  const args = ['train', '-f', 'six.yaml', '--run', 'spoiled', '--json'];
  const { code, lines } = await runLockstep(args, folder);
  assert.equal(code, exitCodes.configuration);
  const { kind, reason } = lines.at(-1) ?? {};
  assert.equal(kind, 'failed');
  assert.match(
    String(reason),
    /^worker-0 failed: sample ".*" in shard-000000\.tar at byte \d+: its SHA-256 is .*failure 3/,
  );
  assert.match(String(reason), /lockstep dataset verify file:.*nothing was checkpointed$/);
  assert.equal(lines.filter((line) => line['kind'] === 'worker').length, 3);
});
