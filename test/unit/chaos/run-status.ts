// A run's status with three workers, for tests of what is made of it.

import type { RunStatus, RunWorker } from '../../../shared/control/admin.js';

const pace = {
  ...{ dataS: 0, computeS: 0, exchangeS: 0, updateS: 0 },
  ...{ waitedFor: '', waitedS: 0, sentBytes: 0, receivedBytes: 0 },
};

/** A worker; in the world by its rank. */
export function workerOf(
  worker: string,
  rank: number,
  changes: Partial<RunWorker> = {},
): RunWorker {
  return {
    ...{ worker, rank, stage: 'training', step: 10, activity: 'compute', isConnected: true },
    ...{ silentS: 0, pid: 4_000_000 + rank, host: 'here', address: 'h:1', incarnation: 1 },
    ...{ allowsFaults: true, pace, ...changes },
  };
}

/** A world of a, b and c that trains. */
export function statusOf(changes: Partial<RunStatus> = {}): RunStatus {
  return {
    ...{ run: 'faces', url: 'file://runs/faces', term: 1, stage: 'running', reason: '' },
    ...{ generation: 7, step: 10, until: 500, lastStep: 500, checkpoint: 8, imagesPerS: 1 },
    ...{ etaS: 9, straggler: undefined, target: 3, coordinatorPid: 99, worldReason: '' },
    exitCode: 0,
    workers: ['a', 'b', 'c'].map((worker, rank) => workerOf(worker, rank)),
    ...changes,
  };
}
