// Data that is wrong on its way to one worker: once, which is read again; or always, as with another
// copy of the dataset, and then the run goes on without that worker.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exitCodes } from '../../shared/exit-codes.js';
import { runLockstep, startLockstep } from '../support/lockstep-command.js';
import { startFaultProxy, type FaultProxy } from '../support/proxies.js';
import { freePort, openS3Place, type S3Place } from '../support/servers.js';
import { packFaces, printSpec, testFolder, tinyRun } from '../support/tiny-run.js';

const folder = testFolder();
let place: S3Place;
let proxy: FaultProxy;

before(async () => {
  place = await openS3Place();
  proxy = await startFaultProxy(place.options.endpoint);
  const url = `s3://${place.bucket}/faces`;
  await packFaces(url, folder, 17, { s3: place.options });
  for (const steps of [6, 100_000])
    await writeFile(join(folder, `${steps}.yaml`), printSpec(tinyRun(url, steps - 3)));
});
after(async () => {
  await proxy.close();
  await place.close();
});

const flipNext = (times: number): void =>
  proxy.add({
    ...{ kind: 'flipped', times },
    matches: (method, url) => method === 'GET' && url.includes('/shard-'),
  });

function environment(endpoint: string): Record<string, string | undefined> {
  const { accessKeyId, secretAccessKey } = place.options;
  const keys = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  return { LOCKSTEP_S3_ENDPOINT: endpoint, ...keys };
}

test('a sample that comes wrong once is read again, and changes no byte', async () => {
  const train = ['train', '-f', '6.yaml', '--json', '--run'];
  const plain = await runLockstep([...train, 'a'], folder, environment(place.options.endpoint));
  assert.equal(plain.code, exitCodes.ok, plain.stderr);
  flipNext(1);
  const spoiled = await runLockstep([...train, 'b'], folder, environment(proxy.url));
  assert.equal(spoiled.code, exitCodes.ok, spoiled.stderr);
  assert.match(spoiled.stderr, /worker-0: sample ".*its SHA-256 is .*; read again, it is right/);
  assert.equal(spoiled.lines.at(-1)?.['sha256'], plain.lines.at(-1)?.['sha256']);
});

test('a worker that reads other data than the rest stays out at last; the run goes on', async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const right = environment(place.options.endpoint);
  const serve = ['coordinator', '-f', '100000.yaml', '--run', 'c', '--workers', '2', '--json'];
  const coordinator = startLockstep([...serve, '--listen', address], folder, right);
  await coordinator.line('listening');
  const work = ['worker', '--coordinator', address, '--id'];
  const good = startLockstep([...work, 'w-0'], folder, right);
  flipNext(1e9);
  const codes: number[] = [];
  let said = '';
  while (codes.length < 4) {
    const { code, stderr } = await runLockstep([...work, 'w-1'], folder, environment(proxy.url));
    codes.push(code);
    said = stderr;
    const { step } = await coordinator.line('step');
    await coordinator.line('step', (line) => Number(line['step']) > Number(step) + 3);
  }
  assert.deepEqual(
    codes.slice(0, 3),
    [1, 1, 1].map(() => exitCodes.failed),
  );
  assert.ok(![exitCodes.ok, exitCodes.failed].some((code) => code === codes[3]), String(codes[3]));
  assert.match(said, /its copy of the dataset is another one; see: lockstep dataset verify/);
  coordinator.process.kill('SIGTERM');
  const [{ code }] = await Promise.all([coordinator.result, good.result]);
  assert.equal(code, exitCodes.stopped);
});
