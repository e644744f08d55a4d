import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRunRecord } from '../../../shared/spec/record.js';
import { openStore } from '../../../shared/store/open-store.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import { createRunHistory } from '../../../watch/history/history.js';
import { leaveReport, type FinalReportLine } from '../../../watch/report/final-report.js';
import { runIn, testFolder } from '../../support/tiny-run.js';

async function openRun(): Promise<ObjectStore> {
  const store = openStore(`file://${testFolder()}`);
  const createdAt = '2026-11-28T12:00:00.000Z';
  await createRunRecord(store, {
    ...{ format: 'lockstep-run/1', run: 'tiny', spec: runIn('/faces'), createdAt },
  });
  return store;
}

const led = () => ({ history: createRunHistory(), version: '0.1.0' });

test('a run leaves its report in its folder, and says where', async () => {
  const store = await openRun();
  const lines: FinalReportLine[] = [];
  await leaveReport(store, led(), (line) => lines.push(line));
  assert.deepEqual(lines, [{ kind: 'report', url: `${store.url}/report.html` }]);
  assert.match((await store.get('report.html')).toString(), /^<!doctype html>/);
});

test('a report that can not be written is a notice', async () => {
  const store = await openRun();
  const full = { ...store, put: () => Promise.reject(new Error('no space is left')) };
  const lines: FinalReportLine[] = [];
  await leaveReport({ ...full, url: store.url }, led(), (line) => lines.push(line));
  const text = `no report was written: no space is left; to write it: lockstep report ${store.url}`;
  assert.deepEqual(lines, [{ kind: 'notice', text }]);
});

test('the end of a run does not wait for a store that does not answer', async () => {
  const store = await openRun();
  const silent = { ...store, url: store.url, get: () => new Promise<Buffer>(() => undefined) };
  const lines: FinalReportLine[] = [];
  await leaveReport(silent, led(), (line) => lines.push(line), 30);
  assert.match(JSON.stringify(lines), /"no report was written: it takes longer than 0.03 s/);
});
