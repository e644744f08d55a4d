// A run's status as lines for a person and as JSON for a script. Pure.

import type { RunStatus, RunWorker } from '../shared/control/admin.js';
import { formatDuration } from './progress.js';

/** What is said above the table of workers. */
export function statusLines(status: RunStatus): string[] {
  const members = status.workers.filter(({ rank }) => rank >= 0).length;
  const why = status.reason === '' ? '' : `: ${status.reason}`;
  const left = status.etaS > 0 ? `, ${formatDuration(status.etaS)} left` : '';
  const rate = status.imagesPerS > 0 ? `, ${status.imagesPerS} images/s` : '';
  const halt = status.until === status.lastStep ? '' : `, halts after ${status.until}`;
  const saved = status.checkpoint === 0 ? 'none yet' : `step ${status.checkpoint}`;
  return [
    `run ${status.run} in ${status.url}`,
    `${status.stage}${why}`,
    `step ${status.step} of ${status.lastStep}${halt}${rate}${left}`,
    `world ${members} of ${status.target} workers, generation ${status.generation}`,
    `checkpoint ${saved}`,
    `coordinator term ${status.term}, pid ${status.coordinatorPid}`,
    ...stragglerLines(status),
  ];
}

function stragglerLines({ straggler }: RunStatus): string[] {
  if (straggler === undefined) return [];
  const { worker, phase, excessS } = straggler;
  return [`slowest ${worker}, in ${phase}: ${excessS.toFixed(3)} s a step more than the others`];
}

type Cell = string | number;

/** A row for each worker, under a heading. Seconds are those of the last step. */
export function workerRows({ workers, straggler }: RunStatus): Cell[][] {
  const heading = ['rank', 'worker', 'stage', 'step', 'does', 'silent s'];
  const seconds = ['data s', 'compute s', 'exchange s', 'update s'];
  return [
    [...heading, ...seconds, 'pid', 'host', ''],
    ...workers.map((one) => [
      one.rank < 0 ? '-' : one.rank,
      one.worker,
      one.isConnected ? one.stage : `${one.stage}, away`,
      one.step,
      one.activity,
      one.silentS.toFixed(1).padStart(8),
      ...paceCells(one),
      one.pid,
      one.host,
      one.worker === straggler?.worker ? `slow in ${straggler.phase}` : '',
    ]),
  ];
}

function paceCells({ pace }: RunWorker): string[] {
  const { dataS, computeS, exchangeS, updateS } = pace;
  const widths = [6, 9, 10, 8];
  return [dataS, computeS, exchangeS, updateS].map((value, i) =>
    value.toFixed(3).padStart(widths[i] ?? 0),
  );
}

/** The status with the names that all JSON lines of Lockstep have. */
export function statusJson(status: RunStatus): object {
  const { lastStep, imagesPerS, etaS, coordinatorPid, workers, straggler, ...rest } = status;
  return {
    ...rest,
    last_step: lastStep,
    images_per_s: imagesPerS,
    eta_s: etaS,
    coordinator_pid: coordinatorPid,
    world: workers.filter(({ rank }) => rank >= 0).length,
    straggler: straggler && {
      ...{ worker: straggler.worker, phase: straggler.phase },
      excess_s: straggler.excessS,
    },
    workers: workers.map(workerJson),
  };
}

function workerJson({ rank, isConnected, silentS, pace, ...rest }: RunWorker): object {
  const { dataS, computeS, exchangeS, updateS, waitedFor, waitedS } = pace;
  return {
    ...rest,
    rank: rank < 0 ? null : rank,
    connected: isConnected,
    silent_s: silentS,
    seconds: { data: dataS, compute: computeS, exchange: exchangeS, update: updateS },
    waited_for: waitedFor === '' ? null : { worker: waitedFor, seconds: waitedS },
  };
}
