// What `lockstep status` shows a person.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable } from '../../../cli/output.js';
import { statusLines, workerRows } from '../../../cli/commands/status.js';
import type { RunStatus } from '../../../shared/control/admin.js';

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
