import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

const program = new URL('../../../shared/thread-priority.js', import.meta.url).href;
const code = `
  const { readlinkSync } = require('node:fs');
  const { parentPort } = require('node:worker_threads');
  void import('${program}').then(({ giveWay }) => {
    giveWay();
    parentPort.postMessage(Number(readlinkSync('/proc/thread-self').split('/').at(-1)));
    setInterval(() => undefined, 1000);
  });
`;

const isLinux = process.platform === 'linux';

test('a thread gives way, and the others of its process do not', { skip: !isLinux }, async () => {
  const own = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  const before = getPriority(own);
  const thread = new Worker(code, { eval: true });
  try {
    const [other] = (await once(thread, 'message')) as [number];
    assert.notEqual(other, own);
    assert.equal(getPriority(other), Math.max(5, before));
    assert.equal(getPriority(own), before);
  } finally {
    await thread.terminate();
  }
});
