// One whole training over HTTP against an S3 server: dataset, checkpoints, metrics and samples all
// in a bucket, and the bytes of the same training in folders.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { packFaces, printSpec, testFolder, tinyRun, writeRuns } from '../../support/tiny-run.js';
import { openStore } from '../../../shared/store/open-store.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { openS3Place, type S3Place } from '../../support/servers.js';

let place: S3Place;
const folder = testFolder();

before(async () => {
  place = await openS3Place();
});

after(async () => {
  await place.close();
});

function environment(): Record<string, string | undefined> {
  const { endpoint, accessKeyId, secretAccessKey } = place.options;
  return {
    LOCKSTEP_S3_ENDPOINT: endpoint,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  };
}

test('a training in a bucket gives the bytes of the same training in folders', async () => {
  const bucket = `s3://${place.bucket}`;
  await packFaces(`${bucket}/faces`, folder, 17, { s3: place.options });
  await writeRuns(folder, { local: {} });
  await writeFile(join(folder, 's3.yaml'), printSpec(tinyRun(`${bucket}/faces`)));

  const s3 = ['train', '-f', 's3.yaml', '--workers', '2', '--run', `${bucket}/runs/a`, '--json'];
  const first = await runLockstep([...s3, '--stop-after', '4'], folder, environment());
  if (!place.isComplete) {
    // A server that ignores conditional puts is found out before there is a run.
    assert.equal(first.code, exitCodes.configuration);
    assert.match(first.stderr, /replaces nothing \(it ignores that condition/);
    return;
  }
  assert.equal(first.code, exitCodes.stopped, first.stderr);
  const resume = ['resume', `${bucket}/runs/a`, '--workers', '3', '--json'];
  const second = await runLockstep(resume, folder, environment());
  assert.equal(second.code, exitCodes.ok, second.stderr);
  const local = await runLockstep(['train', '-f', 'local.yaml', '--json'], folder);
  assert.equal(local.code, exitCodes.ok, local.stderr);
  assert.equal(second.lines.at(-1)?.['sha256'], local.lines.at(-1)?.['sha256']);

  const keys: string[] = [];
  const store = openStore(`${bucket}/runs/a`, { s3: place.options });
  for await (const { key } of store.list('')) keys.push(key);
  await store.close();
  for (const step of ['00000004', '00000006'])
    assert.ok(keys.includes(`checkpoints/step-${step}/manifest.json`), keys.join('\n'));
  assert.ok(keys.some((key) => key.startsWith('samples/')));
  assert.ok(keys.some((key) => key.startsWith('events/term-000001-')));
});
