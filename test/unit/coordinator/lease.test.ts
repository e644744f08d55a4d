// What a leader shows on its lease stays small, and what it is asked for there it obeys or refuses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serveLease, type LeaseBoard } from '../../../coordinator/edge/lease.js';
import type { CoordinatorEvent } from '../../../coordinator/core/state.js';
import type { RunStatus } from '../../../shared/control/admin.js';
import { leaderStatusOf } from '../../../shared/kubernetes/leader-status.js';
import { OperatorError } from '../../../shared/problems.js';

const worker = (i: number) => ({
  ...{ worker: `worker-${i}`, rank: i === 1 ? -1 : i, stage: 'training', step: 7 },
  ...{ activity: 'compute', isConnected: true, silentS: 0.1, pid: 1, host: `node-${i}` },
  ...{ address: '10.0.0.1:7401', incarnation: 9, allowsFaults: false },
  pace: {
    dataS: 0,
    computeS: 1,
    exchangeS: 0,
    updateS: 0,
    waitedFor: '',
    waitedS: 0,
    sentBytes: 0,
    receivedBytes: 0,
  },
});

const status = (workers: number): RunStatus => ({
  ...{ run: 'faces', url: 's3://b/faces', term: 3, stage: 'running', reason: '' },
  ...{ generation: 5, step: 7, until: 40, lastStep: 50, checkpoint: 4 },
  ...{ imagesPerS: 12.5, etaS: 99, target: workers, coordinatorPid: 1, worldReason: '' },
  ...{ straggler: undefined, exitCode: 0 },
  workers: Array.from({ length: workers }, (_, i) => worker(i)),
});

const facts = { address: '10.0.0.1:7400', transitions: 2, phase: 'adversarial', result: undefined };

test('the status has what a progress bar needs, and who the workers are', () => {
  assert.deepEqual(leaderStatusOf(status(2), facts), {
    ...{ run: 'faces', url: 's3://b/faces', term: 3, transitions: 2, address: '10.0.0.1:7400' },
    ...{ stage: 'running', reason: '', step: 7, until: 40, lastStep: 50, checkpoint: 4 },
    ...{ phase: 'adversarial', imagesPerSecond: 12.5, etaSeconds: 99, target: 2, world: 1 },
    workers: [
      { id: 'worker-0', rank: 0, state: 'training', step: 7, host: 'node-0' },
      { id: 'worker-1', rank: null, state: 'training', step: 7, host: 'node-1' },
    ],
  });
});

test('the result of a run that has ended is shown', () => {
  const result = {
    ...{ kind: 'finished', run: 'faces', step: 50, sha256: 'ab', reason: 'x'.repeat(999) },
    ...{ exit_code: 0, world: 2, images_per_s: 1 },
  };
  const shown = (leaderStatusOf(status(0), { ...facts, result }) as { result: object }).result;
  assert.deepEqual(shown, {
    ...{ kind: 'finished', step: 50, sha256: 'ab', reason: `${'x'.repeat(199)}…`, exitCode: 0 },
  });
});

test('of a thousand workers the status lists some and counts the others', () => {
  const many = leaderStatusOf(status(1_000), facts) as { workers: unknown[]; moreWorkers: number };
  assert.deepEqual([many.workers.length, many.moreWorkers], [64, 936]);
  assert.ok(JSON.stringify(many).length < 16 * 1024);
});

/** A board whose operator writes numbers, and what came of them. */
function serve(first: number | undefined) {
  let write: (workers: number) => void = () => undefined;
  let describe: () => object = () => ({});
  const board: LeaseBoard = {
    ...{ transitions: 2, workers: first },
    onWorkers: (listener) => (write = listener),
    show: (given) => (describe = given),
  };
  const events: CoordinatorEvent[] = [];
  const notices: string[] = [];
  const scaled: number[] = [];
  const requests = {
    status: () => status(2),
    scale: (workers: number) => {
      if (workers > 8) throw new OperatorError('--workers: given 9; allowed: 1 to 8', []);
      scaled.push(workers);
      return { before: 2, workers };
    },
  };
  const dispatch = (event: CoordinatorEvent): void => void events.push(event);
  const onNotice = (text: string): void => void notices.push(text);
  serveLease(board, requests, () => facts, dispatch, onNotice);
  return { events, notices, scaled, write, describe };
}

test('the number of workers on the lease is obeyed, from the start and later', () => {
  const { scaled, write, describe, events } = serve(5);
  write(3);
  write(2);
  assert.deepEqual(scaled, [5, 3], 'two it has already');
  assert.equal((describe() as { step: number }).step, 7);
  write(0);
  assert.deepEqual(events, [{ kind: 'stopAsked', reason: 'the run is to have no workers' }]);
});

test('a number that the run can not have is reported, and the run goes on', () => {
  const { scaled, notices, events } = serve(9);
  assert.deepEqual(scaled, []);
  assert.deepEqual(events, []);
  assert.deepEqual(notices, ['--workers: given 9; allowed: 1 to 8']);
});
