// What an operator learns of a run, from what its coordinator knows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialCoordinatorState, type WorkerView } from '../../../coordinator/core/state.js';
import { defaultTiming } from '../../../coordinator/core/timing.js';
import { createRunRate, describeRun, observeWorld } from '../../../coordinator/edge/run-status.js';
import { runStatusSchema } from '../../../shared/control/admin.js';
import { eventData } from '../../../shared/events/kinds.js';

const facts = {
  ...{ run: 'r', url: 'file://runs/r', imagesPerS: 10, etaS: 60, pid: 4, nowMs: 5_000 },
};

function stateOf(...workers: readonly WorkerView[]) {
  const config = {
    ...{
      run: 'r',
      recordSha256: 'a'.repeat(64),
      term: 2,
      worldSize: 2,
      microShards: 5,
      until: 6,
      lastStep: 8,
      timing: defaultTiming,
    },
  };
  const state = initialCoordinatorState(config, 3, 0);
  for (const view of workers) state.workers.set(view.worker, view);
  return state;
}

function viewOf(worker: string, computeS: number, step: number): WorkerView {
  const pace = {
    dataS: 0.01,
    computeS,
    exchangeS: 0.1,
    updateS: 0,
    waitedFor: '',
    waitedS: 0,
    sentBytes: 8,
    receivedBytes: 4,
  };
  return {
    ...{ worker, incarnation: 7, address: 'h:1', pid: 1, host: 'h', session: 1 },
    ...{ heardMs: 4_500, readySinceMs: undefined, benchedUntilMs: 0, isDiverged: false },
    ...{ hasBeenMember: true, hasTrained: true, hasBeenFirst: false, mistake: undefined },
    ...{ order: undefined, failure: undefined, isDismissed: false, allowsFaults: false },
    status: {
      ...{ sequence: 1, generation: 9, stage: 'training', step, hasState: true, pace },
      ...{ activity: 'compute', isLeaving: false, suspicions: [], trouble: '', obstacle: '' },
      fingerprint: 'f',
    },
  };
}

test('before the first world there is no rank, no generation and no straggler', () => {
  const status = describeRun(stateOf(viewOf('a', 1, 0)), facts);
  assert.deepEqual(runStatusSchema.parse(status), status);
  assert.deepEqual(
    [status.stage, status.generation, status.term, status.checkpoint, status.target],
    ['gathering', 0, 2, 3, 2],
  );
  assert.equal(status.workers[0]?.rank, -1);
  assert.equal(status.straggler, undefined);
});

test('an observation has the members and who else is there, the slowest first', () => {
  const away = { ...viewOf('away', 3, 0), session: undefined };
  const state = stateOf(viewOf('spare', 0.1, 0), viewOf('b', 0.2, 5), viewOf('a', 1, 4), away);
  assert.equal(observeWorld(state, []), undefined, 'no world');
  const members = ['b', 'a'].map((worker, rank) => {
    return { rank, worker, incarnation: 7, address: 'h:1' };
  });
  const world = { generation: 9, members, step: 0, until: 6 };
  state.stage = { kind: 'running', world, phase: 'training', sinceMs: 0 } as never;
  const { pace } = viewOf('a', 2, 4).status;
  const averages = [
    { worker: 'a', pace: { ...pace, waitedFor: 'b', waitedS: 0.04321 } },
    { worker: 'b', pace: { ...pace, computeS: 0.2 } },
  ];
  const observed = observeWorld(state, averages);
  assert.deepEqual(eventData['world.observed'].parse(observed), observed);
  assert.deepEqual(
    observed?.workers.map(({ worker, rank, seconds }) => [worker, rank, seconds.compute]),
    [
      ['a', 1, 2],
      ['b', 0, 0.2],
      ['spare', -1, 0.1],
    ],
  );
  const [slowest] = observed?.workers ?? [];
  assert.deepEqual([slowest.waited_for, slowest.seconds.wait], ['b', 0.0432]);
  assert.deepEqual([slowest.sent_bytes, slowest.received_bytes], [8, 4]);
  assert.deepEqual(observed?.straggler, { worker: 'a', phase: 'compute', excess_s: 1.8 });
  assert.equal(observed?.step, 5);
});

test('members come by rank, others after them; the slow member and the newest step are shown', () => {
  const state = stateOf(viewOf('spare', 9, 0), viewOf('b', 0.2, 5), viewOf('a', 1, 4));
  const member = (rank: number, worker: string) => ({
    ...{ rank, worker, incarnation: 7, address: 'h:1' },
  });
  const members = [member(0, 'b'), member(1, 'a')];
  const world = { generation: 9, members, step: 0, until: 6 };
  const halting = { kind: 'halting', mode: 'vote', reason: 'spare joins' } as const;
  state.stage = { ...halting, world, sinceMs: 0, lost: [] };
  const status = describeRun(state, facts);
  assert.deepEqual(
    status.workers.map(({ worker, rank }) => [worker, rank]),
    [
      ['b', 0],
      ['a', 1],
      ['spare', -1],
    ],
  );
  assert.deepEqual([status.step, status.reason], [5, 'spare joins']);
  assert.deepEqual([status.straggler?.worker, status.straggler?.phase], ['a', 'compute']);
  assert.equal(status.workers[0]?.silentS, 0.5);
});

test('a worker that has come anew is not the member of the same name', () => {
  const state = stateOf(viewOf('a', 1, 4));
  const members = [{ rank: 0, worker: 'a', incarnation: 6, address: 'h:1' }];
  const world = { generation: 9, members, step: 0, until: 6 };
  state.stage = { kind: 'halting', world, mode: 'abort', reason: '', sinceMs: 0, lost: [] };
  assert.equal(describeRun(state, facts).workers[0]?.rank, -1);
});

test('steps that are reported in a burst, after a coordinator came back, are not counted', () => {
  let ms = 0;
  const rate = createRunRate(16, () => ms);
  for (const number of [1, 2, 3]) rate.stepped(number, 'pixel', 0.1);
  assert.equal(rate.imagesPerSecond(), 0);
  ms += 100;
  rate.stepped(4, 'pixel', 0.1);
  assert.equal(rate.imagesPerSecond(), 160);
});

test('the first step of a phase is not counted', () => {
  let ms = 0;
  const rate = createRunRate(16, () => ms);
  const step = (number: number, phase: string, tookMs: number): void => {
    ms += tookMs;
    rate.stepped(number, phase, tookMs / 1000);
  };
  step(1, 'pixel', 5_000);
  assert.equal(rate.imagesPerSecond(), 0);
  step(2, 'pixel', 100);
  step(3, 'pixel', 100);
  step(4, 'adversarial', 9_000);
  step(5, 'adversarial', 200);
  assert.equal(rate.imagesPerSecond(), 80);
  assert.equal(rate.overall(), 120);
  assert.equal(rate.etaSeconds(15), 0, 'one short step is no estimate');
  step(6, 'adversarial', 200);
  step(7, 'adversarial', 200);
  assert.equal(rate.etaSeconds(17), 2);
  assert.equal(rate.etaSeconds(7), 0);
});

test('the rate is that of the last seconds, and an estimate rests on steps enough', () => {
  let ms = 0;
  const rate = createRunRate(10, () => ms);
  for (let step = 0; step <= 100; step++) rate.stepped(step, 'pixel', ((ms += 100), 0.1));
  assert.equal(rate.imagesPerSecond(), 100);
  for (let step = 101; step <= 120; step++) rate.stepped(step, 'pixel', ((ms += 1000), 1));
  assert.equal(rate.imagesPerSecond(), 10);
  assert.equal(rate.etaSeconds(130), 10);
  assert.equal(rate.overall(), 40);
  const slow = createRunRate(10, () => ms);
  slow.stepped(1, 'pixel', 60);
  slow.stepped(2, 'pixel', ((ms += 60_000), 60));
  assert.equal(slow.etaSeconds(3), 60);
});
