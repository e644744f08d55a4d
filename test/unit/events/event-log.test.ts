// The events in a run's folder: what is written when, what is lost when the store is away, and what
// a reader makes of it who comes later, follows, or finds a stranger's bytes.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CloudEvent, ParsedEvent } from '../../../shared/events/bus.js';
import {
  createEventLog,
  followEvents,
  readEvents,
  type EventLogOptions,
} from '../../../shared/events/event-log.js';
import { compareKeys, type ObjectStore } from '../../../shared/store/store.js';
import { anyEvent, stepData } from '../../support/watch/events.js';
import { until } from '../../support/until.js';

/** A store in memory that counts bytes read; while `away`, each request fails, or never ends. */
function createMemoryStore() {
  const files = new Map<string, Buffer>();
  const state = { away: 'no' as 'no' | 'failing' | 'silent', puts: 0, bytesRead: 0 };
  const arrive = async (): Promise<void> => {
    if (state.away === 'failing') throw new Error('gone');
    if (state.away === 'silent') await new Promise(() => undefined);
  };
  const store: Pick<ObjectStore, 'put' | 'get' | 'list'> = {
    put: async (key, body) => {
      await arrive();
      state.puts++;
      files.set(key, Buffer.from(body));
    },
    get: async (key, range) => {
      await arrive();
      const bytes = files.get(key)!.subarray(range?.start, range?.end);
      state.bytesRead += bytes.length;
      return bytes;
    },
    list: async function* (prefix) {
      await arrive();
      for (const [key, { length }] of [...files].sort(([a], [b]) => compareKeys(a, b)))
        if (key.startsWith(prefix)) yield { key, bytes: length };
    },
  };
  return { files, state, store };
}

const stepEvent = (step: number): CloudEvent =>
  anyEvent('r', 'step.committed', `step-${step}`, stepData(step));
const scaledEvent = (workers: number): CloudEvent =>
  anyEvent('r', 'run.scaled', `scaled-${workers}`, { workers });

function createTestLog(options: Partial<EventLogOptions> = {}) {
  const memory = createMemoryStore();
  const notices: string[] = [];
  const onNotice = (text: string): void => void notices.push(text);
  const log = createEventLog(memory.store, { term: 3, onNotice, everyMs: 60_000, ...options });
  return { ...memory, notices, log };
}

async function idsIn(events: AsyncIterable<ParsedEvent>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of events) ids.push(id.replace('r/', ''));
  return ids;
}

describe('an event log', () => {
  it('grows a segment until it is full, then the next, and is read back as it was told', async () => {
    const { files, store, log, notices } = createTestLog({ segmentBytes: 2_000 });
    const events = Array.from({ length: 20 }, (_, i) => stepEvent(i));
    for (const event of events) {
      log.add(event);
      if (Number(event.data['step']) % 3 === 2) await log.flush(1_000);
    }
    await log.flush(1_000);
    assert.deepEqual([...files.keys()].slice(0, 2), [
      'events/term-000003-000001.jsonl',
      'events/term-000003-000002.jsonl',
    ]);
    const lines = [...files.values()].join('').trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line) as unknown),
      events,
    );
    for (const body of files.values()) assert.ok(body.length <= 2_000);
    assert.deepEqual(
      await idsIn(readEvents(store)),
      events.map(({ subject }) => subject),
    );
    assert.deepEqual(notices, []);
  });

  it('writes after a while what is new, and at once what must not be lost', async () => {
    const { state, log } = createTestLog({ everyMs: 20 });
    log.add(stepEvent(1));
    log.add(stepEvent(2));
    assert.equal(state.puts, 0);
    await until(() => state.puts > 0, 'a write');
    await log.flush(1_000);
    assert.equal(state.puts, 1, 'nothing new, nothing written');
    const urgent = createTestLog();
    urgent.log.add(stepEvent(1));
    urgent.log.add(anyEvent('r', 'checkpoint.committed', 'c'));
    await until(() => urgent.state.puts === 1, 'a write');
    assert.deepEqual((await urgent.log.flush(1_000), urgent.state.puts), 1);
  });

  it('keeps what the store does not take, the oldest step events least, and says so once', async () => {
    const limits = { events: 6, bytes: 1e6 };
    const { state, store, log, notices } = createTestLog({ limits, segmentBytes: 10 });
    state.away = 'failing';
    log.add(stepEvent(0));
    assert.equal(await log.flush(1), 1);
    log.add(scaledEvent(1));
    for (let step = 1; step < 20; step++) {
      log.add(stepEvent(step));
      if (step % 5 === 0) await log.flush(1);
    }
    log.add(scaledEvent(2));
    assert.equal(notices.length, 2, notices.join('\n'));
    assert.match(notices[0], /can't be written to the run's folder: gone; they wait/);
    assert.match(notices[1], /the oldest step events are dropped/);
    const flushed = log.flush(10_000);
    state.away = 'no';
    assert.equal(await flushed, 0, 'it tries again while there is time');
    assert.match(notices[2], /takes events again; 16 were dropped/);
    const kept = ['step-0', 'scaled-1', 'step-17', 'step-18', 'step-19', 'scaled-2'];
    assert.deepEqual(await idsIn(readEvents(store)), kept);
    log.add(stepEvent(20));
    await log.flush(1_000);
    assert.equal(notices.length, 3);
  });

  it('holds nobody up while the store is silent', async () => {
    const { state, log } = createTestLog();
    state.away = 'silent';
    log.add(anyEvent('r', 'run.started', 's'));
    assert.equal(await log.flush(1), 1);
    await log.close();
  });

  it('has segments of its own for each leader, read in the order of their terms', async () => {
    const { store, files } = createMemoryStore();
    const terms = [2, 1, 1_000_000, 10];
    for (const term of terms) {
      const log = createEventLog(store, { term, onNotice: assert.fail });
      log.add(stepEvent(term));
      await log.flush(1_000);
    }
    assert.equal(files.size, terms.length);
    const ids = ['step-1', 'step-2', 'step-10', 'step-1000000'];
    assert.deepEqual(await idsIn(readEvents(store)), ids);
    const maxBytes = files.get('events/term-1000000-000001.jsonl')!.length + 10;
    assert.deepEqual(await idsIn(readEvents(store, { maxBytes })), ids.slice(3), 'the newest');
  });
});

describe('a reader of events', () => {
  it('leaves out what is no event, whoever wrote it', async () => {
    const { files, store } = createMemoryStore();
    const good = JSON.stringify(stepEvent(1));
    const key = 'events/term-000001-000001.jsonl';
    const strange = ['', '{', '[]', '['.repeat(100_000), '"\ud800"', `"${'x'.repeat(2 ** 20)}"`];
    files.set(key, Buffer.from(`${[...strange, good, ...strange, good.slice(9)].join('\n')}\n`));
    files.set('events/other.jsonl', Buffer.from(`${good}\n`));
    files.set('events/term-000002-000001.jsonl', Buffer.from(good));
    assert.deepEqual(await idsIn(readEvents(store)), ['step-1']);
  });

  it('follows a run: what has grown is read, and nothing twice', async () => {
    const { files, state, store, log } = createTestLog({ segmentBytes: 3_000 });
    const signal = new AbortController();
    const seen: string[] = [];
    const notices: string[] = [];
    let looks = 0;
    const options = { signal: signal.signal, everyMs: 1, onCaughtUp: () => void looks++ };
    const onNotice = (text: string): void => void notices.push(text);
    const following = (async () => {
      for await (const { id } of followEvents(store, { ...options, onNotice })) seen.push(id);
    })();
    await until(() => looks > 0, 'a look into an empty folder');
    for (let step = 0; step < 20; step++) {
      log.add(stepEvent(step));
      await log.flush(1_000);
      if (step === 10) {
        state.away = 'failing';
        await until(() => notices.length > 0, 'a notice');
        state.away = 'no';
      }
      await until(() => seen.length === step + 1, `step ${step}`);
    }
    signal.abort();
    await following;
    assert.equal(new Set(seen).size, 20);
    const stored = [...files.values()].reduce((sum, { length }) => sum + length, 0);
    assert.equal(state.bytesRead, stored);
    assert.equal(notices.length, 1);
    assert.match(notices[0], /can't be read: gone/);
  });

  it('rejects when the first look fails, but not when it is told to end meanwhile', async () => {
    const { state, store } = createMemoryStore();
    state.away = 'failing';
    const { signal } = new AbortController();
    await assert.rejects(idsIn(followEvents(store, { signal })), /gone/);
    const ending = new AbortController();
    const cut: typeof store = {
      ...store,
      list: () => {
        ending.abort();
        return store.list('');
      },
    };
    assert.deepEqual(await idsIn(followEvents(cut, { signal: ending.signal })), []);
  });

  it('leaves out the oldest of too much', async () => {
    const { files, store } = createMemoryStore();
    const line = (step: number) => `${JSON.stringify(stepEvent(step))}\n`;
    for (const number of [1, 2, 3])
      files.set(`events/term-000001-00000${number}.jsonl`, Buffer.from(line(number)));
    const maxBytes = 2 * line(1).length;
    assert.deepEqual(await idsIn(readEvents(store, { maxBytes })), ['step-2', 'step-3']);
    const ending = new AbortController();
    const options = { signal: ending.signal, maxBytes, onCaughtUp: () => ending.abort() };
    assert.deepEqual(await idsIn(followEvents(store, options)), ['step-2', 'step-3']);
  });
});
