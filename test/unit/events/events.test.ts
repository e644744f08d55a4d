import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { maxWorkers } from '../../../shared/control/messages.js';
import {
  encodeCloudEvent,
  maxEventBytes,
  parseCloudEvent,
  subjectOf,
  toCloudEvent,
  createSilentBus,
} from '../../../shared/events/bus.js';
import {
  createEventQueue,
  type EventQueue,
  type QueuedEvent,
} from '../../../shared/events/event-queue.js';
import { parseNatsUrl } from '../../../shared/events/nats-url.js';
import { stepData } from '../../support/watch/events.js';

const event = {
  type: 'checkpoint.committed',
  id: 'checkpoint-00000012-committed',
  data: { step: 12, sha256: '', url: 'file://r' },
} as const;
const time = '2026-01-02T03:04:05.678Z';

describe('a cloud event', () => {
  it('has every attribute that CloudEvents 1.0 asks for', () => {
    const wrapped = toCloudEvent('faces-1', event, time);
    assert.deepEqual(JSON.parse(encodeCloudEvent(wrapped).toString()), {
      specversion: '1.0',
      id: 'faces-1/checkpoint-00000012-committed',
      source: 'lockstep/faces-1',
      type: 'lockstep.checkpoint.committed',
      subject: 'checkpoint-00000012-committed',
      time,
      datacontenttype: 'application/json',
      data: { step: 12, sha256: '', url: 'file://r' },
    });
  });

  it('is published under the run and its kind, whatever the run is called', () => {
    const { type } = event;
    assert.equal(subjectOf('faces-1', type), 'lockstep.v1.faces-1.checkpoint');
    assert.equal(subjectOf('faces-1', `lockstep.${type}`), 'lockstep.v1.faces-1.checkpoint');
    assert.equal(subjectOf('a.b *>é', type), 'lockstep.v1.a_b____.checkpoint');
    assert.equal(subjectOf('', type), 'lockstep.v1._.checkpoint');
  });

  it('stays below what a server takes: data too large are left out, and it says so', () => {
    const data = { ...event.data, url: 'x'.repeat(maxEventBytes) };
    const body = encodeCloudEvent(toCloudEvent('r', { ...event, data }, time));
    assert.ok(body.length < 1000);
    assert.match(JSON.parse(body.toString()).data.omitted, /at most 524288/);
  });

  it('has room for the largest world there may be', () => {
    const members = Array.from({ length: maxWorkers }, (_, rank) => {
      const worker = `faces-worker-${rank}`;
      return { rank, worker, incarnation: Date.now(), address: `${worker}.faces-workers:7401` };
    });
    const data = { generation: 1, step: 0, reason: '', fingerprint: '', members };
    const wrapped = toCloudEvent('r', { type: 'world.formed', id: 'world-1', data }, time);
    const read = parseCloudEvent(JSON.parse(encodeCloudEvent(wrapped).toString()));
    assert.equal(read?.type === 'world.formed' && read.data.members.length, maxWorkers);
  });

  it('is read back with its type and data, and what is none of ours is refused', () => {
    const wrapped = toCloudEvent('faces-1', event, time);
    const { type, data } = event;
    const read = (value: unknown) => parseCloudEvent(JSON.parse(JSON.stringify(value)));
    assert.deepEqual(read(wrapped), { type, data, time, id: wrapped.id });
    const later = { ...data, later: 1 };
    assert.deepEqual(read({ ...wrapped, data: later })?.data, data, 'what came later is left out');
    for (const wrong of [
      undefined,
      [],
      { ...wrapped, specversion: '0.3' },
      { ...wrapped, type },
      { ...wrapped, type: 'lockstep.constructor' },
      { ...wrapped, type: 'lockstep.step.forgotten' },
      { ...wrapped, time: 'yesterday' },
      { ...wrapped, data: { ...data, step: -1 } },
      { ...wrapped, data: { omitted: 'too large' } },
    ])
      assert.equal(parseCloudEvent(wrong), undefined, JSON.stringify(wrong));
  });

  it('has the data that a reader gets: what is no number is null', () => {
    const skipped = { ...stepData(1), metrics: { loss: NaN } };
    const { data } = toCloudEvent('r', { type: 'step.committed', id: 's', data: skipped }, time);
    assert.deepEqual(data['metrics'], { loss: null });
  });
});

describe('the event queue', () => {
  const queued = (kind: QueuedEvent['kind'], id: string, bytes = 10): QueuedEvent => ({
    kind,
    id,
    subject: 's',
    body: Buffer.alloc(bytes),
  });
  const drain = (queue: EventQueue<QueuedEvent>): string[] => {
    const ids: string[] = [];
    for (let first = queue.first(); first; first = queue.first()) {
      ids.push(first.id);
      queue.taken();
    }
    return ids;
  };

  it('gives events in order, and the first until it is taken', () => {
    const queue = createEventQueue();
    for (const id of ['a', 'b', 'c']) assert.deepEqual(queue.push(queued('step', id)), []);
    assert.equal(queue.first()?.id, 'a');
    assert.equal(queue.first()?.id, 'a');
    assert.deepEqual(drain(queue), ['a', 'b', 'c']);
  });

  it('drops the oldest step events first, never the one on its way', () => {
    const queue = createEventQueue({ events: 4, bytes: 1e6 });
    for (const id of ['s0', 's1']) queue.push(queued('step', id));
    queue.push(queued('checkpoint', 'c0'));
    queue.push(queued('step', 's2'));
    assert.deepEqual(
      queue.push(queued('run', 'r0')).map(({ id }) => id),
      ['s1'],
    );
    assert.deepEqual(
      queue.push(queued('step', 's3')).map(({ id }) => id),
      ['s2'],
    );
    assert.deepEqual(
      queue.push(queued('run', 'r1')).map(({ id }) => id),
      ['s3'],
    );
    assert.deepEqual(
      queue.push(queued('run', 'r2')).map(({ id }) => id),
      ['c0'],
    );
    assert.deepEqual(drain(queue), ['s0', 'r0', 'r1', 'r2']);
  });

  it('keeps what is on its way together, however many come', () => {
    const queue = createEventQueue({ events: 4, bytes: 1e6 });
    for (const id of ['s0', 's1', 's2', 's3']) queue.push(queued('step', id));
    assert.deepEqual(
      queue.oldest(25).map(({ id }) => id),
      ['s0', 's1'],
    );
    assert.deepEqual(
      queue.push(queued('step', 's4')).map(({ id }) => id),
      ['s2'],
    );
    queue.taken(2);
    assert.equal(queue.oldest(1).length, 1, 'one at least');
    assert.deepEqual(drain(queue), ['s3', 's4']);
  });

  it('holds its bound of bytes too', () => {
    const queue = createEventQueue({ events: 100, bytes: 100 });
    queue.push(queued('run', 'a', 40));
    queue.push(queued('step', 'b', 40));
    assert.deepEqual(
      queue.push(queued('run', 'c', 50)).map(({ id }) => id),
      ['b'],
    );
    assert.deepEqual(drain(queue), ['a', 'c']);
    queue.push(queued('run', 'd', 90));
    assert.equal(queue.length, 1);
  });
});

describe('a NATS url', () => {
  it('is taken apart, and shown without credentials', () => {
    assert.deepEqual(parseNatsUrl('nats://host:4222'), {
      shown: 'nats://host:4222',
      servers: ['host:4222'],
      isTls: false,
    });
    const full = parseNatsUrl('tls://me:p%40ss:word@a:1,tls://b:2/');
    assert.deepEqual([full.user, full.password, full.isTls], ['me', 'p@ss:word', true]);
    assert.deepEqual(full.servers, ['a:1', 'b:2']);
    assert.equal(full.shown, 'tls://a:1,tls://b:2');
    assert.equal(parseNatsUrl('nats://s3cr3t@[::1]:4222').token, 's3cr3t');
  });

  it('is refused when it is none, its credentials masked', () => {
    for (const url of ['http://x', 'nats://', 'nats://me:hunter2@', 'nats://me:hunter2@a b:1'])
      assert.throws(
        () => parseNatsUrl(url),
        (error: Error) => /LOCKSTEP_NATS_URL/.test(error.message) && !/hunter2/.test(error.message),
        url,
      );
  });
});

describe('the silent bus', () => {
  it('says once that there is none, and takes everything', async () => {
    const notices: string[] = [];
    const bus = createSilentBus((text) => notices.push(text));
    bus.publish(toCloudEvent('r', event, time));
    bus.publish(toCloudEvent('r', event, time));
    assert.equal(await bus.flush(0), 0);
    await bus.close();
    assert.equal(notices.length, 1);
    assert.match(notices[0], /LOCKSTEP_NATS_URL/);
  });
});
