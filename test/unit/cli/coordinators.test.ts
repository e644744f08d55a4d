// The coordinators of a local run, with processes that do what the test says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCoordinators, type SeatStart } from '../../../cli/local/coordinators.js';
import type { RunLine } from '../../../cli/local/run-lines.js';
import type { Child, Departure } from '../../../cli/processes.js';
import { until } from '../../support/until.js';

const killed: Departure = { code: null, signal: 'SIGKILL' };
const run: RunLine = { kind: 'run', run: 'r', step: 0 };
const finished: RunLine = { kind: 'finished', step: 6, exit_code: 0 };

interface Process extends SeatStart {
  readonly signals: string[];
  tell(line: RunLine): void;
  leave(departure: Departure): Promise<void>;
}

function startAll(addresses: readonly string[], restartsLeft = 100) {
  const processes: Process[] = [];
  const lines: RunLine[] = [];
  const start = (seat: SeatStart, onText: (text: string) => void): Child => {
    let end: (departure: Departure) => void = () => undefined;
    const left = new Promise<Departure>((resolve) => (end = resolve));
    const signals: string[] = [];
    processes.push({
      ...seat,
      signals,
      tell: (line) => onText(JSON.stringify(line)),
      leave: async (departure) => {
        end(departure);
        await left;
        await Promise.resolve();
      },
    });
    return { pid: processes.length, left, kill: (signal) => void signals.push(signal) };
  };
  const coordinators = createCoordinators({
    ...{ addresses, workers: 2, restarts: { left: restartsLeft }, start },
    onLine: (line) => lines.push(line),
  });
  coordinators.start();
  let over: Departure | undefined;
  void coordinators.over.then((departure) => (over = departure));
  return { coordinators, processes, lines, over: () => over };
}

function nth(processes: readonly Process[], index: number): Process {
  const found = processes[index];
  assert.ok(found !== undefined, `process ${index} was started`);
  return found;
}

test('a killed coordinator goes on with the run at its address, and the run ends once', async () => {
  const { processes, lines, over } = startAll(['h:1']);
  const first = nth(processes, 0);
  assert.equal(first.address, 'h:1');
  first.tell(run);
  await first.leave(killed);
  await until(() => processes.length === 2, 'it is started again');
  const second = nth(processes, 1);
  assert.equal(second.address, 'h:1');
  assert.equal(over(), undefined);
  second.tell(run);
  second.tell(finished);
  await second.leave({ code: 0, signal: null });
  assert.deepEqual(over(), { code: 0, signal: null });
  assert.deepEqual(
    lines.map(({ kind }) => kind),
    ['coordinator', 'run', 'notice', 'coordinator', 'run', 'finished'],
  );
  assert.equal(lines[2]?.['text'], 'the coordinator was ended by SIGKILL; started again');
});

test('one that dies before there is a run ends all', async () => {
  const { processes, over } = startAll(['h:1', 'h:2']);
  await nth(processes, 0).leave({ code: 78, signal: null });
  assert.deepEqual(over(), { code: 78, signal: null });
  assert.equal(processes.length, 1);
});

test('the standby starts with the run, takes over, and the old leader stands by then', async () => {
  const { processes, over } = startAll(['h:1', 'h:2']);
  const first = nth(processes, 0);
  first.tell({ kind: 'listening', address: 'h:1' });
  assert.equal(processes.length, 1);
  first.tell(run);
  const second = nth(processes, 1);
  assert.equal(second.address, 'h:2');
  second.tell(run);
  first.tell({ kind: 'superseded', reason: 'term 2 leads' });
  await first.leave({ code: 6, signal: null });
  await until(() => processes.length === 3, 'the old leader is started again');
  assert.equal(nth(processes, 2).address, 'h:1');
  second.tell(finished);
  assert.deepEqual(nth(processes, 2).signals, ['SIGKILL']);
  await nth(processes, 2).leave(killed);
  assert.equal(over(), undefined);
  await second.leave({ code: 0, signal: null });
  assert.deepEqual(over(), { code: 0, signal: null });
});

test('without restarts the standby still takes over, and then all is over', async () => {
  const { processes, over } = startAll(['h:1', 'h:2'], 0);
  nth(processes, 0).tell(run);
  await nth(processes, 0).leave(killed);
  assert.equal(over(), undefined);
  const second = nth(processes, 1);
  second.tell(run);
  await second.leave(killed);
  assert.deepEqual(over(), killed);
});

test('who leads is asked to stop, once, and so is whoever leads after that', async () => {
  const { coordinators, processes } = startAll(['h:1', 'h:2']);
  nth(processes, 0).tell(run);
  coordinators.askToStop();
  coordinators.askToStop();
  assert.deepEqual(nth(processes, 0).signals, ['SIGTERM']);
  assert.deepEqual(nth(processes, 1).signals, []);
  nth(processes, 1).tell(run);
  assert.deepEqual(nth(processes, 1).signals, ['SIGTERM']);
});

test('another number of workers reaches those that start later, and who stands by', async () => {
  const { coordinators, processes, lines } = startAll(['h:1', 'h:2']);
  const first = nth(processes, 0);
  first.tell(run);
  coordinators.setWorkers(4);
  const second = nth(processes, 1);
  assert.deepEqual(second.signals, ['SIGKILL']);
  await second.leave(killed);
  assert.deepEqual([nth(processes, 2).workers, nth(processes, 2).address], [4, 'h:2']);
  await first.leave(killed);
  await until(() => processes.length === 4, 'the leader is started again');
  assert.equal(nth(processes, 3).workers, 4);
  assert.equal(lines.filter(({ kind }) => kind === 'notice').length, 1);
});
