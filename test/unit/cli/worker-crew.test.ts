// The workers of a local run, with processes that end when the test says so.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWorkerCrew } from '../../../cli/local/worker-crew.js';
import type { Child, Departure } from '../../../cli/processes.js';
import { until } from '../../support/until.js';

const killed: Departure = { code: null, signal: 'SIGKILL' };
const drained: Departure = { code: 5, signal: null };

function startCrew(restartsLeft = 100) {
  const starts: string[] = [];
  const notices: string[] = [];
  const gone: [string, boolean][] = [];
  const running = new Map<string, (departure: Departure) => void>();
  const start = (worker: string): Child => {
    starts.push(worker);
    let end: (departure: Departure) => void = () => undefined;
    const left = new Promise<Departure>((resolve) => {
      end = (departure) => {
        running.delete(worker);
        resolve(departure);
      };
    });
    running.set(worker, end);
    return { pid: starts.length, left, kill: (signal) => end({ code: null, signal }) };
  };
  const crew = createWorkerCrew({
    start,
    restarts: { left: restartsLeft },
    onNotice: (text) => notices.push(text),
    onGone: (worker, _, isGivenUp) => gone.push([worker, isGivenUp]),
  });
  const end = async (worker: string, departure: Departure): Promise<void> => {
    running.get(worker)?.(departure);
    await Promise.resolve();
    await Promise.resolve();
  };
  return { crew, starts, notices, gone, running, end };
}

test('a killed worker is started again under its name, and that is told', async () => {
  const { crew, starts, notices, end } = startCrew();
  crew.setTarget(2);
  assert.deepEqual(starts, ['worker-0', 'worker-1']);
  await end('worker-1', killed);
  assert.equal(crew.size, 2);
  await until(() => starts.length === 3, 'it is started again');
  assert.equal(starts[2], 'worker-1');
  assert.deepEqual(notices, ['worker-1 was ended by SIGKILL; started again']);
  await crew.leave(0);
});

test('a larger target starts what is missing, under the lowest free names', async () => {
  const { crew, starts, gone, end } = startCrew();
  crew.setTarget(3);
  await end('worker-1', drained);
  assert.deepEqual(gone, [['worker-1', false]]);
  assert.equal(crew.size, 2);
  crew.setTarget(4);
  assert.deepEqual(starts.slice(3), ['worker-1', 'worker-3']);
  await crew.leave(0);
});

test('a smaller target ends nobody: those that the coordinator drains are reckoned with', async () => {
  const { crew, starts, end } = startCrew();
  crew.setTarget(4);
  crew.setTarget(2);
  assert.equal(crew.size, 4);
  await end('worker-3', drained);
  // One of the four is still to go.
  crew.setTarget(3);
  assert.deepEqual(starts.slice(4), ['worker-3']);
  await end('worker-2', drained);
  crew.setTarget(3);
  assert.equal(crew.size, 3);
  assert.equal(starts.length, 5);
  await crew.leave(0);
});

test('without restarts a killed worker is gone', async () => {
  const { crew, starts, gone, end } = startCrew(0);
  crew.setTarget(1);
  await end('worker-0', killed);
  assert.deepEqual(gone, [['worker-0', true]]);
  assert.equal(crew.size, 0);
  assert.equal(starts.length, 1);
});

test('at the end those that do not leave are ended, and none is started again', async () => {
  const { crew, starts, running, end } = startCrew();
  crew.setTarget(3);
  await end('worker-0', killed);
  const leaving = crew.leave(10);
  await end('worker-1', { code: 0, signal: null });
  await leaving;
  assert.equal(running.size, 0);
  crew.setTarget(5);
  assert.equal(starts.length, 3);
});
