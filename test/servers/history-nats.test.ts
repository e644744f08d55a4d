// A run's history out of a real nats-server: replayed from the first event, followed through a
// restart of the server, and told apart from other runs'; and what is said when there is none.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it, test } from 'node:test';
import { connect } from 'nats';
import type { CloudEvent, ParsedEvent } from '../../shared/events/bus.js';
import { createNatsBus } from '../../shared/events/nats-bus.js';
import { readNatsEvents, type NatsHistoryOptions } from '../../shared/events/nats-history.js';
import { freePort, skipWithout, startNatsServer, type TestServer } from '../support/servers.js';
import { anyEvent, stepData } from '../support/watch/events.js';
import { testFolder } from '../support/tiny-run.js';
import { until } from '../support/until.js';

const stepEvent = (run: string, step: number): CloudEvent =>
  anyEvent(run, 'step.committed', `step-${step}`, stepData(step));

describe('the history of a run in JetStream', { skip: skipWithout('nats-server') }, () => {
  let server: TestServer;
  before(async () => {
    server = await startNatsServer();
  });
  const over = new AbortController();
  after(async () => {
    over.abort();
    await server.close();
  });

  const publish = async (
    events: readonly CloudEvent[],
    run: string,
    madeAt?: string,
  ): Promise<void> => {
    const onNotice = (): undefined => undefined;
    const bus = createNatsBus({ url: server.url, run, onNotice, ...(madeAt && { madeAt }) });
    for (const event of events) bus.publish(event);
    assert.equal(await bus.flush(10_000), 0);
    await bus.close();
  };
  const read = async (change: Partial<NatsHistoryOptions>): Promise<ParsedEvent[]> => {
    const events: ParsedEvent[] = [];
    for await (const event of readNatsEvents({
      url: server.url,
      run: 'r',
      signal: over.signal,
      ...change,
    }))
      events.push(event);
    return events;
  };
  const refusal = async (change: Partial<NatsHistoryOptions>): Promise<string> => {
    let said = '';
    await assert.rejects(read(change), (error: Error) => (said = error.message) !== '');
    return said;
  };

  it('is refused with its reason while there is none', async () => {
    const port = await freePort();
    const nowhere = await refusal({ url: `nats://me:hunter2@127.0.0.1:${port}`, follow: true });
    assert.match(nowhere, /events of run "r" can't be read\n.*nothing listens there/);
    assert.match(nowhere, new RegExp(`given "nats://127.0.0.1:${port}"`));
    assert.doesNotMatch(nowhere, /hunter2/);
    assert.match(await refusal({}), /no stream there takes events of Lockstep/);
  });

  it('has every event, checked, and none of another run', async () => {
    // Their subjects are the same.
    await publish(
      [anyEvent('a.b', 'run.scaled', 'scaled', { workers: 3 }), stepEvent('a.b', 1)],
      'a.b',
    );
    await publish([stepEvent('a_b', 1)], 'a_b');
    const connection = await connect({ servers: server.url });
    const client = connection.jetstream();
    for (const text of ['no JSON', '{}', '['.repeat(500), `"${'x'.repeat(300_000)}"`])
      await client.publish('lockstep.v1.a_b.run', text);
    await connection.close();
    await publish([stepEvent('a.b', 2)], 'a.b');

    assert.deepEqual(
      (await read({ run: 'a.b' })).map(({ id, type }) => [id, type]),
      [
        ['a.b/scaled', 'run.scaled'],
        ['a.b/step-1', 'step.committed'],
        ['a.b/step-2', 'step.committed'],
      ],
    );
    assert.equal((await read({ run: 'a_b' })).length, 1);
    assert.match(await refusal({}), /LOCKSTEP has none of this run; it has a_b/);
  });

  it('is that of the newest run of its name, which has ids of events again', async () => {
    const steps = [1, 2, 3].map((step) => stepEvent('again', step));
    await publish(steps, 'again', '2026-01-02T03:04:05.678Z');
    await publish(steps.slice(0, 2), 'again', '2026-01-02T04:05:06.789Z');
    // Another leader of the same run tells the last one again.
    await publish(steps.slice(1, 2), 'again', '2026-01-02T04:05:06.789Z');
    assert.deepEqual(
      (await read({ run: 'again' })).map(({ id }) => id),
      ['again/step-1', 'again/step-2'],
    );
  });

  it('ends with the newest event, of more than are asked for at a time', async () => {
    await publish(
      Array.from({ length: 700 }, (_, i) => stepEvent('long', i)),
      'long',
    );
    const start = performance.now();
    const events = await read({ run: 'long' });
    assert.deepEqual(
      events.map(({ data }) => (data as { step: number }).step),
      Array.from({ length: 700 }, (_, i) => i),
    );
    // It doesn't wait for what may come.
    assert.ok(performance.now() - start < 5_000);
  });

  it('is followed through a restart of the server, each event once', async () => {
    const notices: string[] = [];
    const ids: string[] = [];
    let caughtUpAfter = -1;
    await publish([stepEvent('live', 1), stepEvent('live', 2)], 'live');
    const reading = (async () => {
      const { signal } = over;
      const onNotice = (text: string): void => void notices.push(text);
      const onCaughtUp = (): void => void (caughtUpAfter = ids.length);
      const events = readNatsEvents({
        ...{ url: server.url, run: 'live', follow: true, signal, onNotice, onCaughtUp },
      });
      for await (const { id } of events) ids.push(id);
    })();
    await until(() => caughtUpAfter >= 0, 'the history is there');
    assert.equal(caughtUpAfter, 2);
    await publish([stepEvent('live', 3)], 'live');
    await until(() => ids.length === 3, 'what comes is there');
    await server.kill();
    await until(() => notices.length === 1, 'it says that the server is away');
    await server.start();
    await publish([stepEvent('live', 4)], 'live');
    await until(() => ids.length === 4, 'what comes after the restart is there');
    await until(() => notices.length === 2, 'it says that the server is back');
    assert.deepEqual(
      ids,
      [1, 2, 3, 4].map((step) => `live/step-${step}`),
    );
    assert.match(notices.join(), /is away: the connection was lost,.* is back$/);
    over.abort();
    await reading;
  });

  it('goes on when the server has forgotten who reads', async () => {
    const ids: string[] = [];
    const watching = new AbortController();
    const { signal } = watching;
    const reading = (async () => {
      const options = { url: server.url, run: 'live', follow: true, signal };
      for await (const { id } of readNatsEvents(options)) ids.push(id);
    })();
    await until(() => ids.length === 4, 'the history is there');
    const connection = await connect({ servers: server.url });
    const { consumers } = await connection.jetstreamManager();
    for await (const { name } of consumers.list('LOCKSTEP'))
      await consumers.delete('LOCKSTEP', name);
    await connection.close();
    await publish([stepEvent('live', 5)], 'live');
    await until(() => ids.length === 5, 'what comes is there', 40_000);
    watching.abort();
    await reading;
  });

  it('is left at once when nobody wants it any more', async () => {
    const watching = new AbortController();
    setTimeout(() => watching.abort(), 300);
    const start = performance.now();
    assert.equal((await read({ run: 'live', follow: true, signal: watching.signal })).length, 5);
    assert.ok(performance.now() - start < 2_000);
  });
});

test('who may not read is told so at once', { skip: skipWithout('nats-server') }, async () => {
  const config = join(testFolder(), 'nats.conf');
  const rights = 'permissions: { publish: { deny: "$JS.API.CONSUMER.>" } }';
  const users = `{ user: me, password: pw, ${rights} }, { user: all, password: pw }`;
  await writeFile(config, `authorization { users: [${users}] }`);
  const server = await startNatsServer(['-c', config]);
  const at = (user: string): string => server.url.replace('//', `//${user}:pw@`);
  const bus = createNatsBus({ url: at('all'), run: 'r', onNotice: () => undefined });
  bus.publish(stepEvent('r', 1));
  assert.equal(await bus.flush(10_000), 0);
  await bus.close();
  const start = performance.now();
  await assert.rejects(
    readNatsEvents({ url: at('me'), run: 'r' }).next(),
    /Permissions Violation for Publish to '\$JS\.API\.CONSUMER/,
  );
  assert.ok(performance.now() - start < 8_000);
  await server.close();
});
