// What `lockstep status` shows a person.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable } from '../../../cli/output.js';
import { statusJson, statusLines, workerRows } from '../../../cli/commands/status.js';
import type { RunStatus, RunWorker } from '../../../shared/control/admin.js';
import type { StepExchange } from '../../../worker/training/exchanged-bytes.js';

const pace = {
  ...{ dataS: 0.01, computeS: 0.5, exchangeS: 0.25, updateS: 0.125 },
  ...{ waitedFor: '', waitedS: 0, sentBytes: 2_500_000, receivedBytes: 1 },
};
const worker = {
  ...{ worker: 'a', rank: 0, stage: 'training', step: 120, activity: 'compute' },
  ...{ isConnected: true, silentS: 0.25, pid: 7, host: 'here', address: '127.0.0.1:9' },
  ...{ incarnation: 1, allowsFaults: false, pace },
};
const status: RunStatus = {
  ...{ run: 'faces', url: 'file://runs/faces', term: 3, stage: 'halting', generation: 9 },
  ...{ reason: 'b is gone', step: 120, until: 300, lastStep: 500, checkpoint: 0 },
  ...{ imagesPerS: 40.5, etaS: 200, target: 2, coordinatorPid: 99 },
  ...{ worldReason: 'a is alone', exitCode: 0 },
  workers: [worker, { ...worker, worker: 'b', rank: -1, isConnected: false, silentS: 12 }],
  straggler: { worker: 'a', phase: 'data', excessS: 0.4 },
};

test('the lines above the table', () => {
  assert.deepEqual(statusLines(status), [
    'run faces in file://runs/faces',
    'halting: b is gone',
    'step 120 of 500, halts after 300, 40.5 images/s, 3 min 20 s left',
    'world 1 of 2 workers, generation 9',
    'checkpoint none yet',
    'coordinator term 3, pid 99',
    'slowest a, in data: 0.400 s a step more than the others',
  ]);
});

test('what a step exchanges, and what factors save', () => {
  const summed = { ...{ phase: 'gan', precision: 'float32' as const, trains: [] }, factored: [] };
  const whole = { ...summed, bytes: 2 ** 20, factor_bytes: 0, summed_bytes: 2 ** 20 };
  const lines = (exchange: StepExchange) => statusLines(status, exchange)[6];
  assert.equal(lines(whole), 'exchange float32, 1.0 MiB a step');
  assert.equal(
    lines({ ...whole, precision: 'bfloat16', bytes: 2 ** 18, factored: ['dense/weights'] }),
    'exchange bfloat16, 0.3 MiB a step; factored dense/weights, which saves 0.8 MiB',
  );
  assert.deepEqual((statusJson(status, whole) as { exchange: object }).exchange, whole);
});

test('the slowest of the links that members wait for is named with its rate', () => {
  const waiting = (name: string, rank: number, linkBytesPerS: number): RunWorker => {
    return { ...worker, worker: name, rank, pace: { ...pace, slowLink: 'a', linkBytesPerS } };
  };
  const workers = [worker, waiting('b', 1, 2 ** 20), waiting('c', 2, 2 ** 19), waiting('d', -1, 1)];
  assert.equal(
    statusLines({ ...status, workers }).at(-1),
    'link from a to c: 0.50 MiB/s, the exchange waits for it, and 1 more waits for its own',
  );
});

test('a row for each worker; the slow one is marked, and who is out of the world or away', () => {
  assert.deepEqual(
    formatTable(workerRows(status)).map((line) => line.replace(/ +/g, ' ').trim()),
    [
      'rank worker stage step does silent s data s compute s exchange s update s sent MiB pid host',
      '0 a training 120 compute 0.3 0.010 0.500 0.250 0.125 2.4 7 here slow in data',
      '- b training, away 120 compute 12.0 0.010 0.500 0.250 0.125 2.4 7 here',
    ],
  );
});
