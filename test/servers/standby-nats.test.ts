// A run with a standby on a real nats-server, whose coordinator is frozen and thaws too late.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithout, startNatsServer } from '../support/servers.js';
import { openStage } from '../support/watched-run.js';

const skip = skipWithout('nats-server');

test('a frozen coordinator is replaced within 15 s, and fenced', { skip }, async (t) => {
  const server = await startNatsServer();
  const stage = await openStage(240);
  t.after(async () => {
    await stage.close();
    await server.close();
  });
  const args = ['--nats', server.url, '--standby'];
  const run = stage.start({ workers: 2, steps: 240, args });
  const { line: first } = await run.line('coordinator');
  const { line: second } = await run.line('coordinator', ({ pid }) => pid !== first['pid']);
  await run.step(10);
  process.kill(Number(first['pid']), 'SIGSTOP');
  const frozenMs = performance.now();
  const { line, atMs } = await run.line('listening', ({ term }) => term === 2);
  assert.ok(atMs - frozenMs < 15_000);
  assert.equal(line['address'], second['address']);
  process.kill(Number(first['pid']), 'SIGCONT');
  await stage.check(run, 240);
});
