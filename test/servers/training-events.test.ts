// A training's events as an independent subscriber sees them on a real nats-server: run, world,
// every step, every checkpoint and sample, none missing and none doubled; and the same ones in the
// run's folder.

import { connect, StringCodec } from 'nats';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CloudEvent } from '../../shared/events/bus.js';
import { readEvents } from '../../shared/events/event-log.js';
import { readNatsEvents } from '../../shared/events/nats-history.js';
import { openStore } from '../../shared/store/open-store.js';
import { createEventValidator } from '../support/watch/event-validator.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';
import { startLockstep } from '../support/lockstep-command.js';
import { skipWithout, startNatsServer } from '../support/servers.js';
import { assertEvents } from '../support/watch/events.js';

test('a subscriber sees what happened to a run', { skip: skipWithout('nats-server') }, async () => {
  const folder = testFolder();
  const server = await startNatsServer(['--user', 'me', '--pass', 'hunter2']);
  const subscriber = await connect({ servers: server.url, user: 'me', pass: 'hunter2' });
  const url = server.url.replace('//', '//me:hunter2@');
  const events: CloudEvent[] = [];
  const subscription = subscriber.subscribe('lockstep.v1.told.>', {
    callback: (_, message) =>
      events.push(JSON.parse(StringCodec().decode(message.data)) as CloudEvent),
  });
  try {
    await writeRuns(folder, { run: {} });
    const args = ['train', '-f', 'run.yaml', '--workers', '2', '--run', 'told', '--json'];
    const running = startLockstep([...args, '--nats', url], folder);
    await running.line('step');
    const pids = running.lines().flatMap(({ pid }) => (typeof pid === 'number' ? [pid] : []));
    assert.ok(pids.length >= 3, 'a coordinator and two workers');
    for (const pid of pids) assert.doesNotMatch(commandLineOf(pid), /hunter2/);
    const { code, stderr, lines } = await running.result;
    assert.equal(code, 0, stderr);
    const said = [stderr, JSON.stringify([lines, events])].join('');
    const record = readFileSync(join(folder, 'runs/told/run.json'), 'utf8');
    for (const text of [said, record]) assert.doesNotMatch(text, /hunter2/);
    await subscriber.flush();

    const wrong = createEventValidator({ isStrict: true });
    for (const event of events) assert.deepEqual(wrong(event), [], JSON.stringify(event));
    // The run's folder has the same ones, and so has the stream for whoever comes late.
    const ids = events.map(({ id }) => id);
    const late = readNatsEvents({ url, run: 'told' });
    assert.deepEqual(await idsOf(late), ids);
    const store = openStore(`file://${folder}/runs/told`);
    assert.deepEqual(await idsOf(readEvents(store)), ids);
    await store.close();

    const of = (type: string): CloudEvent[] => events.filter((event) => event.type === type);
    assert.equal(new Set(events.map(({ id }) => id)).size, events.length);
    assertEvents(events);
    assert.deepEqual(eventsIn(join(folder, 'runs/told/events')), events);
    assert.deepEqual(
      of('lockstep.step.committed').map(({ data }) => data['step']),
      [1, 2, 3, 4, 5, 6],
    );
    assert.deepEqual(
      of('lockstep.checkpoint.committed').map(({ data }) => data['step']),
      [4, 6],
    );
    assert.equal(of('lockstep.run.started').length, 1);
    assert.equal(of('lockstep.world.formed').length, 1);
    assert.equal(of('lockstep.sample.written').length, 1);
    assert.equal(of('lockstep.run.finished')[0]?.data['step'], 6);
  } finally {
    subscription.unsubscribe();
    await subscriber.close();
    await server.close();
  }
});

/** What lies there, as it was written. */
function eventsIn(folder: string): CloudEvent[] {
  return readdirSync(folder)
    .sort()
    .flatMap((file) => readFileSync(join(folder, file), 'utf8').trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as CloudEvent);
}

async function idsOf(events: AsyncIterable<{ readonly id: string }>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of events) ids.push(id);
  return ids;
}

/** What any user of the machine can read. */
function commandLineOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
}
