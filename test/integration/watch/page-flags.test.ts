// The flags of a run's page: who may look, what is refused before anything is done, and the page of
// a run that trains.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { localPageFlags, pagePlace } from '../../../cli/watch/http-options.js';
import { OperatorError } from '../../../shared/problems.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';
import { runLockstep, startLockstep } from '../../support/lockstep-command.js';
import { makePipe } from '../../support/pipes.js';
import { until } from '../../support/until.js';

const folder = testFolder();

test('who may look: this machine, unless a token or TLS keeps strangers out', async () => {
  const [good, short] = [join(folder, 'token'), join(folder, 'short')];
  await writeFile(good, `${'x'.repeat(24)}\n`);
  await writeFile(short, 'secret\n');
  const pipe = join(folder, 'pipe');
  makePipe(pipe);
  const loopback = { host: '127.0.0.1', port: 80, access: { kind: 'loopback' } };
  assert.deepEqual(await pagePlace({ http: '127.0.0.1:80' }, undefined), loopback);
  assert.deepEqual(await pagePlace({}, '127.0.0.1:80'), loopback);
  assert.equal(await pagePlace({ http: 'off' }, '127.0.0.1:80'), undefined);
  assert.equal(await pagePlace({}, undefined), undefined);
  const guarded = await pagePlace({ http: '0.0.0.0:80', httpTokenFile: good }, undefined);
  assert.deepEqual(guarded?.access, { kind: 'token', token: 'x'.repeat(24) });
  const refused: readonly [Parameters<typeof pagePlace>[0], RegExp][] = [
    [{ http: '0.0.0.0:80' }, /--http: given "0.0.0.0:80"; allowed: an address of this machine/],
    [{ http: '80' }, /allowed: HOST:PORT/],
    [{ http: ':80', httpTokenFile: short }, /--http-token-file: .*16 to 512/],
    [{ http: ':80', httpTokenFile: join(folder, 'none') }, /allowed: a file to read/],
    [{ http: ':80', httpCert: good }, /--http-key: missing/],
    [{ http: ':80', httpTokenFile: '/dev/zero' }, /a file to read.*no regular file/],
    [{ http: ':80', httpTokenFile: pipe }, /a file to read.*it is a pipe/],
    [{ httpTokenFile: good }, /--http-token-file: .*allowed: beside --http HOST:PORT/],
  ];
  for (const [args, pattern] of refused)
    await assert.rejects(
      pagePlace(args, undefined),
      (error: unknown) => error instanceof OperatorError && pattern.test(error.message),
    );
  const command = ['coordinator', '--resume', '--run', 'none', '--http', '0.0.0.0:80'];
  const { code, stderr } = await runLockstep(command, folder);
  assert.equal(code, 78);
  assert.match(stderr, /--http: given "0.0.0.0:80"/);
});

test('flags that would do nothing are refused', async () => {
  const inCluster = 'k8s://training/faces';
  const source = ['--from', 'folder', '--nats', 'nats://n', '--coordinator', '127.0.0.1:1'];
  const watched = await runLockstep(['watch', inCluster, ...source], folder);
  assert.equal(watched.code, 78);
  assert.match(watched.stderr, /--from: given "folder"[^]*--nats: [^]*--coordinator: /);
  const resumed = await runLockstep(['resume', inCluster, '--http', '127.0.0.1:0'], folder);
  assert.equal(resumed.code, 78);
  assert.match(resumed.stderr, /--http: given "127.0.0.1:0"; allowed: for runs here/);
});

test('a local run takes the place asked for, or one that is free', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await until(() => taken.address() !== null, 'the port is taken');
  const { port } = taken.address() as AddressInfo;
  const place = `127.0.0.1:${port}`;
  assert.deepEqual(await localPageFlags({ http: place }, undefined), ['--http', place]);
  assert.deepEqual(await localPageFlags({}, 'off'), ['--http', 'off']);
  const [, free = ''] = await localPageFlags({ http: '127.0.0.1:0' }, undefined);
  assert.match(free, /^127\.0\.0\.1:[1-9]\d*$/);
  const [, usual = ''] = await localPageFlags({}, undefined);
  assert.match(usual, /^127\.0\.0\.1:[1-9]\d*$/);
  taken.close();
});

test('a run that trains shows itself, and a port that is taken holds nothing up', async () => {
  await writeRuns(folder, { tiny: { steps: 6 }, other: { steps: 6 } });
  const blocker = createServer().listen(0, '127.0.0.1');
  await until(() => blocker.address() !== null, 'the port is taken');
  const place = `127.0.0.1:${(blocker.address() as AddressInfo).port}`;
  const train = (name: string, ...args: string[]) =>
    startLockstep(['train', '-f', `${name}.yaml`, '--run', name, '--json', ...args], folder);
  const run = train('tiny', '--http', '127.0.0.1:0');
  const { url } = await run.line('page');
  const shown = await (await fetch(new URL('api/picture', String(url)))).json();
  assert.equal((shown as { run: string }).run, 'tiny');
  assert.match(await (await fetch(String(url))).text(), /importmap/);
  assert.equal((await fetch(new URL('healthz', String(url)))).status, 200);
  assert.match(await (await fetch(new URL('metrics', String(url)))).text(), /^# HELP/m);
  const { code, lines } = await run.result;
  assert.equal(code, 0);
  await assert.rejects(fetch(String(url)));
  const blocked = await train('other', '--http', place).result;
  blocker.close();
  assert.equal(blocked.code, 0);
  const notices = blocked.lines.filter(({ kind }) => kind === 'notice');
  assert.match(JSON.stringify(notices), /the page is not served: .*--http: .*it is tried again/);
  // Whether anybody could look changes nothing.
  assert.equal(blocked.lines.at(-1)?.['sha256'], lines.at(-1)?.['sha256']);
});
