// The example consumer beside a real nats-server: it prints the history of a run, and what comes.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { CloudEvent } from '../../shared/events/bus.js';
import { createNatsBus } from '../../shared/events/nats-bus.js';
import { packageFile } from '../../shared/paths.js';
import { skipWithout, startNatsServer } from '../support/servers.js';
import { until } from '../support/until.js';
import { anyEvent, stepData } from '../support/watch/events.js';

const stepEvent = (step: number): CloudEvent =>
  anyEvent('faces', 'step.committed', `step-${step}`, stepData(step));

test('the example prints each event once', { skip: skipWithout('nats-server') }, async () => {
  const server = await startNatsServer();
  const bus = createNatsBus({ url: server.url, run: 'faces', onNotice: () => undefined });
  const member = { rank: 0, worker: 'w-0', incarnation: 1, address: 'a' };
  const world = { generation: 1, step: 0, reason: 'all are here', fingerprint: 'f' };
  const members = [member, { ...member, rank: 1, worker: 'w-1' }];
  bus.publish(anyEvent('faces', 'world.formed', 'world-1', { ...world, members }));
  bus.publish(stepEvent(1));
  assert.equal(await bus.flush(10_000), 0);
  const args = [packageFile('examples/event-consumer.js'), server.url, 'faces'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => void lines.push(line));
  try {
    await until(() => lines.length === 2, 'the history is printed');
    bus.publish(stepEvent(2));
    await until(() => lines.length === 3, 'what comes is printed');
    await server.kill();
    await server.start();
    bus.publish(stepEvent(3));
    await until(() => lines.length === 4, 'what comes after a restart is printed', 60_000);
    const time = '2026-01-02T03:04:05.678Z';
    assert.deepEqual(lines, [
      `${time} world.formed w-0, w-1 from step 0: all are here`,
      ...[1, 2, 3].map((step) => `${time} step.committed ${step}, 1.0 images/s, {"loss":0.5}`),
    ]);
  } finally {
    child.kill('SIGKILL');
    await bus.close();
    await server.close();
  }
});
