// What state a run is in, by its Jobs and its leader's words; and that the leader's words are
// understood.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { V1Job } from '@kubernetes/client-node';
import { failedExitCode, runStage } from '../../../cli/kubernetes/run-state.js';
import type { RunStatus } from '../../../shared/control/admin.js';
import {
  leaderStatusOf,
  readLeaderStatus,
  readWantedWorkers,
} from '../../../shared/kubernetes/leader-status.js';

const job = (status: object = {}, more: object = {}): V1Job => ({ status, ...more });
const condition = (type: string, message = '') =>
  job({ conditions: [{ type, status: 'True', reason: 'R', message }] });
const leaseOf = (annotations: Record<string, string>) => ({ metadata: { annotations } });
const annotate = (status: object) => ({ 'lockstep.dev/status': JSON.stringify(status) });
const says = (status: object) => leaseOf(annotate(status));

test('the state follows from the Jobs, then from the leader', () => {
  const going = job({}, { metadata: { deletionTimestamp: new Date(0) } });
  const queued = job({}, { spec: { suspend: true } });
  const oneOfTwo = job({ ready: 1 }, { spec: { completions: 2 } });
  const finished = says({ result: { kind: 'finished', reason: 'done' } });
  const failed = says({ result: { kind: 'failed', reason: 'why' } });
  const cases: [string, V1Job | undefined, V1Job | undefined, object | undefined, string][] = [
    ['finished', condition('Complete'), job(), finished, 'done'],
    ['failed', condition('Failed', 'm'), job(), undefined, 'R: m'],
    ['failed', condition('Failed', 'm'), job(), failed, 'why'],
    // A pod on a lost node keeps a Job from being Complete or Failed.
    ['finished', condition('SuccessCriteriaMet'), job(), finished, 'done'],
    ['finished', job({ succeeded: 1 }), job(), finished, 'done'],
    ['finished', job(), job(), finished, 'done'],
    ['failed', condition('FailureTarget', 'm'), job(), undefined, 'R: m'],
    ['failed', job(), condition('FailureTarget', 'm'), says({ step: 1 }), 'the workers: R: m'],
    ['failed', job(), condition('Failed', 'm'), says({ step: 1 }), 'the workers: R: m'],
    ['gone', undefined, job(), undefined, 'its coordinators are gone'],
    ['gone', going, job(), undefined, 'its coordinators are gone'],
    ['queued', queued, queued, undefined, 'waits in its queue'],
    ['queued', job(), queued, undefined, 'waits in its queue'],
    ['starting', job(), oneOfTwo, undefined, '1 of 2 workers are ready'],
    // A word of before: the run was resumed.
    ['starting', job(), job(), says({ result: { kind: 'failed' } }), '0 of 0 workers are ready'],
    ['running', job(), job(), says({ stage: 'gathering' }), 'gathering'],
    // Workers that learn of the end first.
    ['running', job(), condition('Complete'), says({ stage: 'finishing' }), 'finishing'],
  ];
  for (const [kind, coordinator, worker, lease, reason] of cases) {
    const stage = runStage({ coordinator, worker, lease });
    assert.deepEqual([stage.kind, stage.reason], [kind, reason]);
  }
});

test('an operator learns from the exit code that trying again is useless', () => {
  const read =
    'PodFailurePolicy: Container worker for pod a/b failed with exit code 78 matching FailJob rule';
  const of = (reason: string, lease?: object) =>
    failedExitCode({ reason, progress: readLeaderStatus(lease && annotate(lease)) });
  assert.equal(of(read), 78);
  assert.equal(of('BackoffLimitExceeded: too many'), 1);
  assert.equal(of('exit code 1'), 1);
  const said = { result: { kind: 'failed', reason: 'too little memory', exitCode: 78 } };
  assert.deepEqual([of('too little memory', said), of('the workers: R', said)], [78, 1]);
});

test('what the leader writes is what the command line reads', () => {
  const worker = {
    ...{ worker: 'worker-0', rank: 0, stage: 'training', step: 7, host: 'h', isConnected: true },
  } as unknown as RunStatus['workers'][number];
  const status = {
    ...{ run: 'faces', url: 's3://b/faces', term: 3, stage: 'running', reason: 'r' },
    ...{
      step: 7,
      until: 9,
      lastStep: 10,
      checkpoint: 5,
      imagesPerS: 12,
      etaS: 4,
      target: 2,
      workers: [worker],
    },
  } as unknown as RunStatus;
  const result = { kind: 'finished', step: 9, sha256: 'abc', reason: 'done', exit_code: 0 };
  const facts = { address: '10.0.0.1:7400', transitions: 2, phase: 'pixel', result };
  const read = readLeaderStatus(annotate(leaderStatusOf(status, facts)));
  assert.deepEqual(read, {
    ...{ run: 'faces', url: 's3://b/faces', term: 3, transitions: 2 },
    ...{ address: '10.0.0.1:7400', stage: 'running' },
    ...{ reason: 'r', step: 7, until: 9, lastStep: 10, checkpoint: 5, phase: 'pixel' },
    ...{ imagesPerSecond: 12, etaSeconds: 4, target: 2, world: 1, moreWorkers: 0 },
    workers: [{ id: 'worker-0', rank: 0, state: 'training', step: 7, host: 'h' }],
    result: { kind: 'finished', step: 9, sha256: 'abc', reason: 'done', exitCode: 0 },
  });
});

test('a status that is missing, torn, huge or of another version does no harm', () => {
  const of = (text: string) => readLeaderStatus({ 'lockstep.dev/status': text });
  assert.equal(readLeaderStatus(undefined), undefined);
  assert.equal(readLeaderStatus({}), undefined);
  assert.equal(of('{"step":'), undefined);
  assert.equal(of('7'), undefined);
  assert.equal(of(`{"run":"${'a'.repeat(300_000)}"}`), undefined);
  const read = of('{"step":"seven","workers":[{"id":1}],"result":7,"new":1}');
  assert.deepEqual([read?.step, read?.workers[0]?.id, read?.result], [0, '', undefined]);
});

test('the wanted number of workers is a number', () => {
  const of = (text: string) => readWantedWorkers({ 'lockstep.dev/workers': text });
  assert.deepEqual(
    [of('4'), of('four'), of('-1'), of('4.5'), readWantedWorkers({})],
    [4, ...Array<undefined>(4)],
  );
});
