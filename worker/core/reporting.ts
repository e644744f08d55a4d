// What a worker says of itself, and what it says again to a coordinator that comes anew: reports
// are kept until a checkpoint makes them needless, so that none is lost with a coordinator.

import {
  noWorld,
  protocolVersion,
  type Hello,
  type WorkerMessage,
  type WorkerStage,
  type WorkerStatus,
} from '../../shared/control/messages.js';
import type { Step } from '../../shared/words.js';
import type { Report, WorkerEffect, WorkerState } from './state.js';

/** Reports kept; beyond, the oldest are dropped. */
export const maxReports = 20_000;

/** The worker's status as of now; each has a greater sequence number than the one before. */
export function statusOf(state: WorkerState): WorkerStatus {
  state.sequence += 1;
  return {
    sequence: state.sequence,
    generation: state.world.generation,
    stage: state.stage as WorkerStage,
    step: state.step,
    hasState: state.hasState,
    activity: state.activity,
    isLeaving: state.isLeaving,
    suspicions: [...state.suspicions].map(([worker, reason]) => ({ worker, reason })),
    trouble: state.trouble,
    obstacle: state.obstacle,
    pace: state.pace,
    fingerprint: state.fingerprint,
  };
}

/** The first message of a session: who this is, and the world it is in. */
export function greet(state: WorkerState): Hello {
  const { worker, incarnation, address, pid, host, allowsFaults } = state.config;
  const isInWorld = state.stage !== 'joining' && state.stage !== 'ready';
  return {
    kind: 'hello',
    protocol: protocolVersion,
    ...{ worker, incarnation, address, pid, host, allowsFaults },
    term: state.term,
    status: statusOf(state),
    world: isInWorld ? state.world : noWorld,
  };
}

/** Keeps what a later coordinator must hear as well. */
export function keepReport(state: WorkerState, message: WorkerMessage): void {
  switch (message.kind) {
    case 'stepReport':
    case 'evaluation':
    case 'partStored':
    case 'snapshot':
      state.reports.push(message);
      if (state.reports.length > maxReports) state.reports.shift();
      return;
    default:
      return;
  }
}

/** The kept reports, for a new session; steps are told by rank 0 only. */
export function toldAgain(state: WorkerState): WorkerEffect[] {
  const isTold = (report: Report): boolean => report.kind !== 'stepReport' || state.rank === 0;
  return state.reports.filter(isTold).map((message): WorkerEffect => ({ kind: 'send', message }));
}

/** Forgets what the checkpoint of `step` makes needless. */
export function forgetReports(state: WorkerState, step: Step): void {
  state.reports = state.reports.filter((report) => report.step > step);
}

/** Forgets what was told of steps above the state's: if it was set back, their files are gone. */
export function forgetFuture(state: WorkerState): void {
  state.reports = state.reports.filter((report) => report.step <= state.step);
}
