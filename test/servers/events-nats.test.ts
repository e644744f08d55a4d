// The event bus against a real nats-server that is killed and started again, as an independent
// subscriber sees it: every event, in order, none missing, none doubled.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import type { CloudEvent, EventBus } from '../../shared/events/bus.js';
import { createNatsBus } from '../../shared/events/nats-bus.js';
import { anyEvent } from '../support/watch/events.js';
import { freePort, skipWithout, startNatsServer, type TestServer } from '../support/servers.js';
import { startTcpProxy } from '../support/proxies.js';
import { until } from '../support/until.js';

const stepEvent = (run: string, step: number): CloudEvent => {
  const id = `step-${String(step).padStart(8, '0')}-committed`;
  return anyEvent(run, 'step.committed', id, { step });
};
const startEvent = (run: string): CloudEvent => anyEvent(run, 'run.started', 'started');

/** Everything in the stream for a run, as a plain NATS client reads it. */
async function readRun(url: string, run: string): Promise<{ subject: string; event: Seen }[]> {
  const connection: NatsConnection = await connect({ servers: url });
  try {
    const streams = await connection.jetstreamManager();
    const info = await streams.streams.info(await streams.streams.find(`lockstep.v1.${run}.run`));
    const consumer = await connection.jetstream().consumers.get(info.config.name, {
      filterSubjects: [`lockstep.v1.${run}.>`],
    });
    const seen: { subject: string; event: Seen }[] = [];
    for (;;) {
      const messages = await consumer.fetch({ max_messages: 500, expires: 1000 });
      let count = 0;
      for await (const message of messages) {
        seen.push({ subject: message.subject, event: message.json() });
        count++;
        if (message.info.pending === 0) return seen;
      }
      if (count === 0) return seen;
    }
  } finally {
    await connection.close();
  }
}

interface Seen {
  readonly id: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

describe('events on NATS', { skip: skipWithout('nats-server') }, () => {
  let server: TestServer;
  const open = (run: string, onNotice: (text: string) => void = () => undefined): EventBus =>
    createNatsBus({ url: server.url, run, onNotice });
  before(async () => {
    server = await startNatsServer();
  });
  after(() => server.close());

  it('arrive once and in order through a kill and a restart of the server', async () => {
    const notices: string[] = [];
    const bus = open('restart', (text) => notices.push(text));
    const connection = await connect({ servers: server.url, maxReconnectAttempts: -1 });
    const live: string[] = [];
    const subscription = connection.subscribe('lockstep.v1.restart.>', {
      callback: (_, message) => void live.push(message.json<Seen>().id),
    });
    bus.publish(startEvent('restart'));
    for (let step = 0; step < 150; step++) bus.publish(stepEvent('restart', step));
    // Killed in the middle: some are stored, one is on its way, the others wait.
    await until(() => live.length > 20, 'some events are out');
    await server.kill();
    await until(() => notices.length === 1, 'the bus says that the server is away');
    for (let step = 150; step < 300; step++) bus.publish(stepEvent('restart', step));
    assert.ok((await bus.flush(50)) > 0);
    await server.start();
    assert.equal(await bus.flush(20_000), 0);
    // Told again, as a coordinator does that was restarted itself.
    bus.publish(stepEvent('restart', 299));
    assert.equal(await bus.flush(5_000), 0);
    const seen = await readRun(server.url, 'restart');
    assert.deepEqual(
      seen.map(({ event }) => event.id),
      ['restart/started', ...Array.from({ length: 300 }, (_, i) => stepEvent('restart', i).id)],
    );
    assert.equal(seen[0].subject, 'lockstep.v1.restart.run');
    assert.equal(seen[1].event.type, 'lockstep.step.committed');
    assert.equal(notices.length, 2, notices.join('\n'));
    assert.match(notices[0], /is away: /);
    assert.match(notices[1], /is back: \d+ events follow$/);
    subscription.unsubscribe();
    await connection.close();
    await bus.close();
  });

  it('are not doubled when only answers were lost and the server forgot the ids', async () => {
    const connection = await connect({ servers: server.url });
    const manager = await connection.jetstreamManager();
    // The shortest window there is: over before the bus is back.
    await manager.streams.update('LOCKSTEP', { duplicate_window: 100_000_000 });
    await connection.close();
    const proxy = await startTcpProxy(server.port);
    const url = `nats://127.0.0.1:${proxy.port}`;
    const bus = createNatsBus({ url, run: 'doubt', onNotice: () => undefined });
    for (let step = 0; step < 40; step++) {
      if (step % 10 === 5) proxy.loseNextAnswer(/PUB lockstep/, /"stream":"LOCKSTEP"/, 300);
      bus.publish(stepEvent('doubt', step));
      // Every other loss meets a longer queue.
      if (step % 20 < 10) assert.equal(await bus.flush(10_000), 0);
    }
    assert.equal(await bus.flush(10_000), 0);
    assert.equal(proxy.lost, 4);
    const steps = (await readRun(server.url, 'doubt')).map(({ event }) => event.data['step']);
    assert.deepEqual(
      steps,
      Array.from({ length: 40 }, (_, i) => i),
    );
    await bus.close();
    await proxy.close();
  });

  it('arrive once and in order through a server that is frozen', async () => {
    const notices: string[] = [];
    const bus = open('frozen', (text) => notices.push(text));
    for (let step = 0; step < 20; step++) bus.publish(stepEvent('frozen', step));
    assert.equal(await bus.flush(10_000), 0);
    server.pause();
    for (let step = 20; step < 60; step++) bus.publish(stepEvent('frozen', step));
    await until(() => notices.length === 1, 'the bus says that the server is away');
    server.resume();
    assert.equal(await bus.flush(20_000), 0);
    const steps = (await readRun(server.url, 'frozen')).map(({ event }) => event.data['step']);
    assert.deepEqual(
      steps,
      Array.from({ length: 60 }, (_, i) => i),
    );
    assert.match(notices.at(-1)!, /is back/);
    await bus.close();
  });

  it('wait for a server that is not there yet', async () => {
    const notices: string[] = [];
    await server.kill();
    const bus = open('late', (text) => notices.push(text));
    bus.publish(startEvent('late'));
    assert.equal(await bus.flush(50), 1);
    await until(() => notices.length > 0, 'a notice');
    await server.start();
    await until(async () => (await bus.flush(1_000)) === 0, 'the event is out');
    assert.equal((await readRun(server.url, 'late')).length, 1);
    assert.match(notices[0], /is away: nothing listens there/);
    await bus.close();
  });

  it('never hold up the run, and a bus without a server closes at once', async () => {
    const url = `nats://me:hunter2@127.0.0.1:${await freePort()}`;
    const notices: string[] = [];
    const limits = { events: 10, bytes: 1e6 };
    const bus = createNatsBus({ url, run: 'none', onNotice: (text) => notices.push(text), limits });
    bus.publish(startEvent('none'));
    for (let step = 0; step < 50; step++) bus.publish(stepEvent('none', step));
    await until(() => notices.some((text) => /is away/.test(text)), 'a notice');
    assert.equal(await bus.flush(20), 10);
    const start = performance.now();
    await bus.close();
    assert.ok(performance.now() - start < 1000);
    assert.equal(notices.filter((text) => /oldest step events are dropped/.test(text)).length, 1);
    assert.doesNotMatch(notices.join(), /hunter2/);
  });

  it('use a stream that the operator made', async () => {
    const connection = await connect({ servers: server.url });
    const manager = await connection.jetstreamManager();
    for await (const { config } of manager.streams.list())
      await manager.streams.delete(config.name);
    await manager.streams.add({ name: 'OURS', subjects: ['lockstep.>'] });
    const bus = open('ours');
    bus.publish(startEvent('ours'));
    assert.equal(await bus.flush(10_000), 0);
    assert.equal((await manager.streams.info('OURS')).state.messages, 1);
    await connection.close();
    await bus.close();
  });

  it('leave out what the server refuses, and say so', async () => {
    const connection = await connect({ servers: server.url });
    const manager = await connection.jetstreamManager();
    await manager.streams.update('OURS', { max_msg_size: 2000 });
    const notices: string[] = [];
    const bus = open('ours', (text) => notices.push(text));
    const data = { text: 'x'.repeat(5000) };
    bus.publish(anyEvent('ours', 'sample.written', 'large', data));
    bus.publish(anyEvent('ours', 'run.finished', 'ended'));
    assert.equal(await bus.flush(10_000), 0);
    assert.match(notices.join(), /refuses: .*; event ours\/large is lost/);
    assert.equal((await manager.streams.info('OURS')).state.messages, 2);
    await connection.close();
    await bus.close();
  });
});

describe('events on a NATS server with a password', { skip: skipWithout('nats-server') }, () => {
  it('are published with it, and a wrong one is told without showing it', async () => {
    const server = await startNatsServer(['--user', 'me', '--pass', 'hunter2']);
    const at = (login: string): string => server.url.replace('://', `://${login}@`);
    const notices: string[] = [];
    const onNotice = (text: string): void => void notices.push(text);
    const wrong = createNatsBus({ url: at('me:wrong-one'), run: 'auth', onNotice });
    await until(() => notices.length > 0, 'a notice');
    assert.match(notices[0], /refuses the credentials/);
    assert.doesNotMatch(notices.join(), /wrong-one|hunter2/);
    await wrong.close();
    const bus = createNatsBus({ url: at('me:hunter2'), run: 'auth', onNotice });
    bus.publish(startEvent('auth'));
    assert.equal(await bus.flush(10_000), 0);
    await bus.close();
    await server.close();
  });
});
