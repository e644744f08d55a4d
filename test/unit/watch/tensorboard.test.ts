import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCloudEvent, toCloudEvent } from '../../../shared/events/bus.js';
import type { EventData, EventType } from '../../../shared/events/kinds.js';
import { createFileStore } from '../../../shared/store/file-store.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import {
  createTensorBoardFiles,
  eventFileKey,
  type TensorBoardFiles,
} from '../../../watch/tensorboard/event-files.js';
import { encodeRecord } from '../../../watch/tensorboard/records.js';
import { keysOf } from '../../support/servers.js';
import { runIn, testFolder } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';

const createdAt = '2026-11-28T12:00:00.000Z';
const at = (seconds: number): string =>
  new Date(Date.parse(createdAt) + 1000 * seconds).toISOString();

/** A clock that is wound by hand: `due` are the waits that were asked for. */
function handClock() {
  const due: { readonly ms: number; readonly run: () => void }[] = [];
  return {
    due,
    after: (ms: number, run: () => void) => {
      const one = { ms, run };
      due.push(one);
      return () => void due.splice(due.indexOf(one), due.includes(one) ? 1 : 0);
    },
  };
}

function files(store: ObjectStore, waitingBytes?: number) {
  const clock = handClock();
  const notices: string[] = [];
  const board = createTensorBoardFiles({
    store,
    ...{ record: { format: 'lockstep-run/1', run: 'tiny', spec: runIn(''), createdAt }, term: 3 },
    ...{ clock, onNotice: (text: string) => notices.push(text) },
    ...(waitingBytes === undefined ? {} : { waitingBytes }),
  });
  return { board, clock, notices };
}

function addStep(board: TensorBoardFiles, step: number, seconds = step): void {
  const data: EventData<'step.committed'> = {
    ...{ generation: 1, step, phase: 'pixel', metrics: { mse: 0.5 }, images_per_s: 8, eta_s: 1 },
    seconds: { data: 0, compute: 0.1, exchange: 0.2, update: 0.1 },
  };
  addEvent(board, 'step.committed', data, seconds);
}

function addEvent<T extends EventType>(
  board: TensorBoardFiles,
  type: T,
  data: EventData<T>,
  seconds: number,
): void {
  const event = toCloudEvent('tiny', { type, id: `${type}-${seconds}`, data }, at(seconds));
  board.add(parseCloudEvent(event));
}

/** A store that is away until told otherwise. */
function awayStore() {
  const folder = testFolder();
  const store = createFileStore(`file://${folder}`, folder);
  const state = { isAway: true, puts: 0, stored: 0 };
  return Object.assign(state, {
    store: {
      ...store,
      url: store.url,
      put: async (...args: Parameters<ObjectStore['put']>) => {
        state.puts += 1;
        if (state.isAway) throw new Error('the store is away');
        await store.put(...args);
        state.stored += 1;
      },
    } satisfies ObjectStore,
  });
}

test('a file begins as each of TensorFlow does', () => {
  const record = Buffer.from(encodeRecord({ wallTime: 1.5, fileVersion: 'brain.Event:2' }));
  // The length of its first record, with the masked sum of the length.
  assert.equal(record.subarray(0, 12).toString('hex'), '1800000000000000a37f4b22');
  assert.equal(record.subarray(23, 36).toString(), 'brain.Event:2');
  assert.equal(record.length, 40);
});

test('files are few: their distance grows with the age of the run', async () => {
  const away = awayStore();
  away.isAway = false;
  const { board, clock } = files(away.store);
  const gaps: number[] = [];
  for (const [i, age] of [1, 100, 5_000, 604_800].entries()) {
    addStep(board, i + 1, age);
    await until(() => clock.due.length === 1, 'a wait');
    const [next] = clock.due;
    gaps.push(next?.ms ?? 0);
    next?.run();
    await until(async () => (await keysOf(away.store)).length === i + 1, 'a file');
  }
  assert.deepEqual(gaps, [10_000, 10_000, 100_000, 900_000]);
  await board.close(1000);
  assert.deepEqual(
    await keysOf(away.store),
    [1, 2, 3, 4].map((number) => eventFileKey(3, number)),
  );
});

test('a checkpoint is followed by a file, but not by more than one a minute', async () => {
  const away = awayStore();
  away.isAway = false;
  const { board, clock } = files(away.store);
  const save = (step: number, seconds: number): void => {
    addStep(board, step, seconds);
    const data = { step, sha256: 'a'.repeat(64), url: 'c' };
    addEvent(board, 'checkpoint.committed', data, seconds);
  };
  save(1, 70);
  await until(() => away.stored === 1, 'a file');
  save(2, 100);
  assert.equal(clock.due.length, 1, 'it waits for its time');
  save(3, 131);
  await until(() => away.stored === 2, 'another file');
  assert.equal(clock.due.length, 0);
  // In a week 1 % of the age is more than a minute.
  save(4, 604_800);
  await until(() => away.stored === 3, 'a third file');
  save(5, 604_800 + 3_600);
  assert.equal(clock.due.length, 1);
  await board.close(1000);
});

test('the names of files sort as they were written', () => {
  const written = [
    [1, 9],
    [1, 10],
    [2, 1],
    [10, 1],
    [10, 123],
  ] as const;
  const keys = written.map(([term, number]) => eventFileKey(term, number));
  assert.deepEqual(keys.toSorted(), keys);
});

test('what the store does not take waits, bounded, and is written when it is back', async () => {
  const away = awayStore();
  const { board, clock, notices } = files(away.store, 20_000);
  for (let step = 1; step <= 200; step++) addStep(board, step);
  assert.equal(clock.due.length, 1);
  for (let i = 1; i <= 2; i++) {
    clock.due[0]?.run();
    await until(() => away.puts === i && clock.due.length === 1, 'a try that failed');
  }
  assert.deepEqual(notices, [
    'TensorBoard files wait for the store: the oldest are dropped',
    "TensorBoard files can't be written: the store is away",
  ]);
  away.isAway = false;
  addStep(board, 201);
  await board.close(1000);
  assert.deepEqual(await keysOf(away.store), [eventFileKey(3, 1), eventFileKey(3, 2)]);
  const bytes = (await away.store.get(eventFileKey(3, 1))).length;
  assert.ok(bytes > 5_000 && bytes < 40_000, `${bytes} bytes`);
});

test('closing waits for a store that is away no longer than it was told', async () => {
  const away = awayStore();
  const never = { ...away.store, put: () => new Promise<void>(() => undefined) };
  const { board } = files(never);
  addStep(board, 1);
  const startedMs = performance.now();
  await board.close(50);
  assert.ok(performance.now() - startedMs < 2_000);
});
