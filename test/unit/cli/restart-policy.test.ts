// Which processes of a local run are started again, and when.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  afterCoordinator,
  afterWorker,
  type CoordinatorLife,
} from '../../../cli/local/restart-policy.js';
import type { Departure } from '../../../cli/processes.js';

const old = { ageMs: 60_000, quickDeaths: 0, restartsLeft: 100 };
const killed: Departure = { code: null, signal: 'SIGKILL' };
const ended = (code: number): Departure => ({ code, signal: null });

test('a worker is started again after a signal or a failure, not when it left on purpose', () => {
  const cases: [Departure, string][] = [
    [killed, 'restart'],
    [{ code: null, signal: 'SIGSEGV' }, 'restart'],
    [ended(1), 'restart'],
    [ended(134), 'restart'],
    [ended(0), 'left'],
    [ended(3), 'left'],
    [ended(4), 'left'],
    [ended(5), 'left'],
    [ended(78), 'left'],
  ];
  for (const [departure, kind] of cases)
    assert.equal(afterWorker(departure, old).kind, kind, JSON.stringify(departure));
});

test('the next start waits longer after each quick death, and no longer after a long life', () => {
  const delays: number[] = [];
  let quickDeaths = 0;
  for (const ageMs of [100, 100, 100, 100, 100, 100, 20_000, 100]) {
    const verdict = afterWorker(killed, { ageMs, quickDeaths, restartsLeft: 1 });
    assert.ok(verdict.kind === 'restart');
    delays.push(verdict.delayMs);
    quickDeaths = verdict.quickDeaths;
  }
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 10_000, 500, 1000]);
});

test('a worker that the run did not take asks again, which is none of its restarts', () => {
  const delays = [0, 1, 2, 9].map((quickDeaths) => {
    const verdict = afterWorker(ended(7), { ageMs: 2_000, quickDeaths, restartsLeft: 0 });
    assert.ok(verdict.kind === 'restart' && verdict.isFree === true);
    return verdict.delayMs;
  });
  assert.deepEqual(delays, [10_000, 20_000, 40_000, 300_000]);
});

test('nobody is started again when all restarts are used up', () => {
  assert.equal(afterWorker(killed, { ...old, restartsLeft: 0 }).kind, 'givenUp');
  assert.equal(afterCoordinator(killed, { ...leader, restartsLeft: 0 }).kind, 'givenUp');
});

const leader: CoordinatorLife = {
  ...old,
  ...{ isLeading: true, isOpened: true, hasResult: false, isStopAsked: false, isPaired: false },
};
const standby: CoordinatorLife = { ...leader, isLeading: false, isPaired: true };

test('a coordinator is started again while its run has not ended', () => {
  const cases: [string, Departure, CoordinatorLife, string][] = [
    ['killed', killed, leader, 'restart'],
    ['failed', ended(1), leader, 'restart'],
    ['killed while it stops the run', killed, { ...leader, isStopAsked: true }, 'restart'],
    ['told the result', ended(0), { ...leader, hasResult: true }, 'over'],
    ['killed after the result', killed, { ...leader, hasResult: true }, 'over'],
    ['killed before there was a run', killed, { ...leader, isOpened: false }, 'over'],
    ['refused', ended(78), leader, 'over'],
    ['stopped', ended(3), leader, 'over'],
    [
      'interrupted as it started',
      { code: null, signal: 'SIGTERM' },
      { ...leader, isStopAsked: true },
      'over',
    ],
    ['superseded by a stranger', ended(6), leader, 'over'],
    ['superseded by its standby', ended(6), { ...leader, isPaired: true }, 'restart'],
    ['standby was killed', killed, standby, 'restart'],
    ['standby is not wanted', ended(78), standby, 'left'],
  ];
  for (const [name, departure, life, kind] of cases)
    assert.equal(afterCoordinator(departure, life).kind, kind, name);
});
