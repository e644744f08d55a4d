// One look at a run, as far as faults and recoveries are concerned. Pure.

import type { RunStatus } from '../../shared/control/admin.js';
import type { Seen, SeenWorker } from './schedule.js';

/** What was seen at `atMs`; without a status nobody who leads the run answered. */
export interface Sample {
  readonly atMs: number;
  readonly status?: RunStatus | undefined;
}

/** What a status does not say. */
export interface Circumstances {
  /** This machine. */
  readonly host: string;
  readonly isCoordinatorHere: boolean;
  readonly hasOpenFaults: boolean;
  readonly isFlipped: boolean;
}

/** What the schedule sees of a run. */
export function seenOf(status: RunStatus, around: Circumstances): Seen {
  const { host, isCoordinatorHere, hasOpenFaults, isFlipped } = around;
  const workers = status.workers
    .filter(({ isConnected }) => isConnected)
    .map((one): SeenWorker => {
      const { worker, rank, stage, allowsFaults } = one;
      const isLeaving = stage.includes('leaving');
      return { worker, isMember: rank >= 0, isLeaving, allowsFaults, isHere: one.host === host };
    });
  return {
    workers,
    target: status.target,
    isCalm: isWhole(status) && !hasOpenFaults,
    isFlipped,
    stepsLeft: Math.max(0, status.until - status.step),
    isCoordinatorHere,
  };
}

/** Whether all workers that the run is to have are in its world, and only they. */
export function isWhole({ stage, workers, target }: RunStatus): boolean {
  return stage === 'running' && workers.filter(({ rank }) => rank >= 0).length === target;
}
