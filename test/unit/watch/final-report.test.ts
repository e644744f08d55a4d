import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRunRecord } from '../../../shared/spec/record.js';
import { openStore } from '../../../shared/store/open-store.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import { createRunHistory } from '../../../watch/history/history.js';
import { setTimeout as pause } from 'node:timers/promises';
import { frameKey } from '../../../shared/store/sample-keys.js';
import { leaveReport, type FinalReportLine } from '../../../watch/report/final-report.js';
import { readReportedRun } from '../../../watch/report/report-run.js';
import { createStory, firstTermWorld } from '../../support/watch/run-story.js';
import { runIn, testFolder } from '../../support/tiny-run.js';

async function openRun(): Promise<ObjectStore> {
  const store = openStore(`file://${testFolder()}`);
  const createdAt = '2026-11-28T12:00:00.000Z';
  await createRunRecord(store, {
    ...{ format: 'lockstep-run/1', run: 'tiny', spec: runIn('/faces'), createdAt },
  });
  return store;
}

test('a run leaves its report in its folder, and says where', async () => {
  const store = await openRun();
  const lines: FinalReportLine[] = [];
  await leaveReport(store, createRunHistory(), (line) => lines.push(line));
  assert.deepEqual(lines, [{ kind: 'report', url: `${store.url}/report.html` }]);
  assert.match((await store.get('report.html')).toString(), /^<!doctype html>/);
});

test('a report that can not be written is a notice', async () => {
  const store = await openRun();
  const full = { ...store, put: () => Promise.reject(new Error('no space is left')) };
  const lines: FinalReportLine[] = [];
  await leaveReport({ ...full, url: store.url }, createRunHistory(), (line) => lines.push(line));
  const text = `no report was written: no space is left; to write it: lockstep report ${store.url}`;
  assert.deepEqual(lines, [{ kind: 'notice', text }]);
});

test('the end of a run does not wait for a store that does not answer', async () => {
  const store = await openRun();
  const silent = { ...store, url: store.url, get: () => new Promise<Buffer>(() => undefined) };
  const lines: FinalReportLine[] = [];
  await leaveReport(silent, createRunHistory(), (line) => lines.push(line), 30);
  assert.match(JSON.stringify(lines), /"no report was written: it takes longer than 0.03 s/);
});

test('a report is the same by the history of who led and by the folder', async () => {
  const store = await openRun();
  const story = createStory('tiny');
  story.started(0, { lockstep: '0.1.0' });
  story.world(1, firstTermWorld(1), 0, ['w-0']);
  story.step(2, 1);
  story.started(3, { term: 2, step: 1, lockstep: '0.2.0' });
  const [, world] = story.events;
  const data = { ...(world?.data as object), generation: firstTermWorld(2), fingerprint: 'cuda' };
  const events = [...story.events, { ...world, id: 'another', data }];
  const lines = events.map((event) => `${JSON.stringify(event)}\n`).join('');
  await store.put('events/term-000001-000001.jsonl', Buffer.from(lines), {});
  const history = createRunHistory();
  for (const event of events) history.add(event);
  const led = await readReportedRun(store, 1000, { history });
  assert.deepEqual(led, await readReportedRun(store, 1000));
  assert.deepEqual(led.fingerprints, ['cuda', 'node-cpu']);
  assert.deepEqual(led.versions, ['0.1.0', '0.2.0']);
});

test('frames are read several at a time, in their order, and counted', async () => {
  const store = await openRun();
  const steps = Array.from({ length: 30 }, (_, i) => 10 * i);
  for (const step of steps)
    await store.put(frameKey(step), Buffer.from(`\x89PNG ${step}`, 'latin1'), {});
  let [underWay, most] = [0, 0];
  const late: ObjectStore = {
    ...store,
    url: store.url,
    list: (prefix) => store.list(prefix),
    get: async (key, range) => {
      most = Math.max(most, ++underWay);
      // The later is there before the earlier.
      await pause(underWay % 3 === 0 ? 4 : 1);
      underWay--;
      return await store.get(key, range);
    },
  };
  const counts: (readonly [number, number])[] = [];
  const onRead = (done: number, all: number): void => void counts.push([done, all]);
  const { frames } = await readReportedRun(late, 10_000, { onRead });
  assert.deepEqual(
    frames.map(({ step }) => step),
    steps,
  );
  assert.equal(most, 8);
  assert.deepEqual(
    counts,
    Array.from({ length: 31 }, (_, done) => [done, 30]),
  );
});
