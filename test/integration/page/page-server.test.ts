// The server of the page, asked without a browser: what it gives, takes, refuses, and how it ends.

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { startPageServer, type PageServer } from '../../../cli/page/page-server.js';
import { exportOnnx } from '../../../inference/generator.js';
import { pictureLimits, readPageFiles } from '../../../inference/page-files.js';
import { OperatorError } from '../../../shared/problems.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { tinySpec } from '../../support/engine/srgan-specs.js';
import { runLockstep, startLockstep } from '../../support/lockstep-command.js';
import { noise, writeFiles } from '../../support/pictures.js';
import { testFolder } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';

const folder = testFolder();
const model = join(folder, 'model.onnx');
let server: PageServer;
/** The server's folder. */
let pictures: string;

const start = async () =>
  startPageServer({
    ...{ host: '127.0.0.1', port: 0, model, tile: 16, threads: 1 },
    files: await readPageFiles('server', 'tiny'),
  });

before(async () => {
  const task = createSrganTask(tinySpec());
  const [parameters, statistics] = [
    task.initialParameters('generator', 5),
    task.initialStatistics('generator'),
  ];
  await writeFiles(folder, { 'model.onnx': exportOnnx(task, parameters, statistics) });
  const folders = async () =>
    (await readdir(tmpdir())).filter((name) => name.startsWith('lockstep-page-'));
  const others = await folders();
  server = await start();
  const [own = ''] = (await folders()).filter((name) => !others.includes(name));
  pictures = join(tmpdir(), own);
});
after(() => server.close());

/** The lines of an answer, and what follows the last one. */
async function enlarge(body: Uint8Array, headers: Record<string, string> = {}) {
  const response = await fetch(new URL('enlarge', server.url), { method: 'POST', body, headers });
  const answer = Buffer.from(await response.arrayBuffer());
  if (!response.ok) return { status: response.status, lines: [JSON.parse(answer.toString())] };
  const lines: Record<string, unknown>[] = [];
  let rest = answer;
  while (rest.length > 0 && lines.at(-1)?.['kind'] !== 'picture') {
    const end = rest.indexOf('\n');
    lines.push(JSON.parse(rest.subarray(0, end).toString()) as Record<string, unknown>);
    rest = rest.subarray(end + 1);
  }
  return { status: response.status, lines, rest };
}

test('a picture is answered with its progress and a PNG', async () => {
  const { lines, rest } = await enlarge(await noise(60, 20).jpeg().toBuffer());
  const kinds = lines.map(({ kind }) => kind);
  assert.deepEqual([kinds[0], kinds[1], kinds.at(-1)], ['loading', 'tile', 'picture']);
  assert.equal(lines.at(-1)?.['bytes'], rest?.length);
  const { width, height, format } = await sharp(rest).metadata();
  assert.deepEqual([width, height, format], [240, 80, 'png']);
});

test('pictures that cannot be used are refused in words, without the paths of the server', async () => {
  const large = { width: 2000, height: 1000, channels: 3, background: '#123' } as const;
  const cases: readonly [Uint8Array, RegExp][] = [
    [Buffer.from('no picture'), /cannot be read: not a picture/],
    [Buffer.alloc(0), /zero bytes/],
    [await sharp({ create: large }).png().toBuffer(), /2000 x 1000 pixels; at most 1048576/],
    [(await noise(60, 60).png().toBuffer()).subarray(0, 2000), /cannot be read/],
  ];
  for (const [body, reason] of cases) {
    const { status, lines } = await enlarge(body);
    assert.equal(status, 200);
    const { kind, text } = lines.at(-1) ?? {};
    assert.equal(kind, 'problem');
    assert.match(String(text), reason);
    assert.doesNotMatch(String(text), /lockstep-page-/);
  }
});

test('too many bytes are refused, announced or not', async () => {
  const { status, lines } = await enlarge(Buffer.alloc(pictureLimits.bytes + 1));
  assert.equal(status, 413);
  assert.match(String(lines[0]['text']), /at most 32 MB/);
  // In chunks, so that nothing says how many there will be.
  const chunk = Buffer.alloc(2 ** 20);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const post = request(new URL('enlarge', server.url), { method: 'POST' }, resolve);
    post.on('error', reject);
    const write = (left: number): void => {
      if (left > 0) post.write(chunk, () => write(left - 1));
    };
    write(33);
  });
  assert.equal(answer.statusCode, 413);
  answer.destroy();
});

test('other pages, other names and other methods are refused', async () => {
  const small = await noise(8, 8).png().toBuffer();
  assert.equal((await enlarge(small, { origin: 'http://example.com' })).status, 403);
  assert.equal((await enlarge(small, { origin: new URL(server.url).origin })).status, 200);
  const statusOf = (path: string, options: object): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const asked = request(new URL(path, server.url), options, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asked.on('error', reject).end();
    });
  assert.equal(await statusOf('', { headers: { host: 'rebound.example' } }), 403);
  assert.equal(await statusOf('', { headers: { host: 'localhost:7481' } }), 200);
  assert.equal(await statusOf('', { method: 'DELETE' }), 405);
  for (const path of ['enlarge', '../package.json', '%2e%2e/package.json', 'model.onnx'])
    assert.equal(await statusOf(path, {}), 404, path);
  const { headers } = await fetch(server.url);
  assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'/);
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
});

test('who goes away is forgotten at once, and the next one is served', async () => {
  const going = new AbortController();
  const body = await noise(1000, 1000).png().toBuffer();
  const asked = fetch(new URL('enlarge', server.url), {
    ...{ method: 'POST', body, signal: going.signal },
  });
  const reader = (await asked).body!.getReader();
  // It is being enlarged.
  for (let text = ''; !text.includes('"tile"');)
    text += Buffer.from((await reader.read()).value ?? []).toString();
  going.abort();
  const { lines } = await enlarge(await noise(8, 8).png().toBuffer());
  assert.equal(lines.at(-1)?.['kind'], 'picture');
  await until(async () => (await readdir(pictures)).length === 0, 'no file is left');
});

test('a server that is closed says so to who waits, and leaves nothing', async () => {
  const other = await start();
  const body = await noise(1000, 1000).png().toBuffer();
  const asked = await fetch(new URL('enlarge', other.url), { method: 'POST', body });
  const text = asked.text();
  await other.close();
  assert.match(await text, /"kind":"problem","text":"The server was stopped."/);
  await assert.rejects(fetch(other.url));
});

test('the command: a port in use is named, and SIGTERM is an end like any other', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await until(() => blocker.address() !== null, 'the port is taken');
  const { port } = blocker.address() as AddressInfo;
  const refused = await runLockstep(['serve', model, '--port', String(port)], folder);
  blocker.close();
  assert.equal(refused.code, 78);
  assert.match(refused.stderr, new RegExp(`--port: given ${port}; allowed: a port that nobody`));
  const missing = await runLockstep(['serve', 'missing.onnx', '--port', '0'], folder);
  assert.equal(missing.code, 78);
  const running = startLockstep(['serve', model, '--port', '0', '--json'], folder);
  const { url } = await running.line('listening');
  assert.match(await (await fetch(String(url))).text(), /<title>Enlarge a face<\/title>/);
  running.process.kill('SIGTERM');
  assert.equal((await running.result).code, 0);
});

test('a place that is taken or not here is an operator’s mistake', async () => {
  const { port } = new URL(server.url);
  const files = await readPageFiles('server', 'tiny');
  const options = { host: '127.0.0.1', port: Number(port), model, files, tile: 16, threads: 1 };
  await assert.rejects(startPageServer(options), OperatorError);
  await assert.rejects(startPageServer({ ...options, host: '203.0.113.1' }), OperatorError);
  assert.ok((await readFile(model)).length > 0);
});
