// A worker's metrics over HTTP: the network thread answers while the compute thread is in a native
// call, a port that is taken does not stop the worker, and a bad flag is refused at once.

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import type { NetworkOptions } from '../../../worker/network/ports.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { freePort, listen } from '../../support/servers.js';
import { testFolder } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';

const children: ChildProcess[] = [];
after(() => children.forEach((child) => child.kill('SIGKILL')));

const thread = new URL('../../../worker/network/network-thread.js', import.meta.url).href;

/** A process that starts a network thread; its main thread can be blocked for good. */
function startThread(metrics: string): { said(): string; block(): void; isRunning(): boolean } {
  const workerData: NetworkOptions = {
    ...{ coordinators: ['127.0.0.1:1'], worker: 'w-1', incarnation: 1 },
    ...{ listen: '127.0.0.1:0', advertise: '127.0.0.1', patienceMs: 60_000, drainMs: 1000 },
    ...{ allowsFaults: false, lanes: 1, tls: undefined, logLevel: 'info', metrics },
  };
  const script = `
    import { Worker } from 'node:worker_threads';
    new Worker(new URL('${thread}'), {
      execArgv: [],
      workerData: ${JSON.stringify(workerData)},
    });
    process.stdin.on('data', () => {
      console.error('blocked');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  children.push(child);
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  return {
    said: () => said,
    block: () => void child.stdin.write('now'),
    isRunning: () => child.exitCode === null,
  };
}

test('a worker whose compute thread is in a long call answers all the same', async () => {
  const port = await freePort();
  const { said, block } = startThread(`127.0.0.1:${port}`);
  const ask = async (path: string): Promise<Response | undefined> =>
    fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
  await until(async () => (await ask('/healthz'))?.status === 200, 'it answers');
  const ready = await ask('/readyz');
  assert.equal(ready?.status, 503);
  assert.equal(await ready?.text(), 'looks for its coordinator at 127.0.0.1:1\n');
  block();
  await until(() => said().includes('blocked'), 'its main thread is blocked');
  const text = await (await ask('/metrics'))?.text();
  assert.match(text ?? '', /^lockstep_worker_rank\{worker="w-1"\} -1$/m);
});

test('a port that is taken is a line in the log, and the worker goes on', async () => {
  const taken = createServer();
  const port = await listen(taken);
  const { said, isRunning } = startThread(`127.0.0.1:${port}`);
  try {
    await until(() => said().includes('a port that nobody listens on'), 'it says so');
  } finally {
    taken.close();
  }
  assert.ok(isRunning());
});

test('a place that is none is refused before anything is done', async () => {
  const args = ['worker', '--coordinator', '127.0.0.1:1', '--id', 'w', '--metrics', 'nowhere'];
  const { code, stderr } = await runLockstep(args, testFolder());
  assert.equal(code, exitCodes.configuration);
  assert.match(stderr, /--metrics: given "nowhere"; allowed: HOST:PORT/);
});
