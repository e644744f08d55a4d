// The script that holds a worker back until its coordinator listens, run as the pod runs it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { containerOf, readJob } from './manifests.js';
import { parseCommandLine } from './command-line.js';

const run = promisify(execFile);
const [init] = readJob('lockstep-worker').template.spec.initContainers;
const [program, flag, script = '', ...given] = init?.command ?? [];

/** Runs the script against a port of this machine. */
const wait = (port: number, seconds: number) =>
  run(process.execPath, [flag ?? '', script, '127.0.0.1', String(port), String(seconds)], {
    timeout: 20_000,
  });

/** A port that was free a moment ago, and a way to listen on it. */
async function openServer(port = 0) {
  const server = createServer((socket) => socket.end());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  return { port: (server.address() as AddressInfo).port, close };
}

test('it waits for what the worker connects to, as long as the coordinator waits', () => {
  const args = parseCommandLine(containerOf(readJob('lockstep-coordinator')).args ?? []);
  const worker = containerOf(readJob('lockstep-worker')).args ?? [];
  assert.equal(program, 'node');
  const [host, port, seconds] = given;
  assert.ok(worker.includes(`--coordinator=${host}:${port}`));
  assert.equal(Number(seconds), args.values['joinTimeout']);
});

test('it ends well once somebody listens', async () => {
  const first = await openServer();
  await first.close();
  const waiting = wait(first.port, 15);
  const late = await openServer(first.port);
  await waiting;
  await late.close();
});

test('it gives up after its time and says on whom', async () => {
  const { port, close } = await openServer();
  await close();
  await assert.rejects(wait(port, 0), (error: { code: number; stderr: string }) => {
    assert.equal(error.code, 1);
    assert.match(error.stderr, new RegExp(`^127.0.0.1:${port} can't be reached: .*ECONNREFUSED`));
    return true;
  });
});
