// A run as the operator sees it, taken from what the coordinator knows. Pure: the clock and the
// pace are given.

import type { RunStatus, RunWorker } from '../../shared/control/admin.js';
import type { CoordinatorState, FormedWorld, WorkerView } from '../core/state.js';
import { findStraggler, type PaceView } from '../core/straggler.js';

/** What the state does not say. */
export interface RunFacts {
  readonly run: string;
  readonly url: string;
  readonly imagesPerS: number;
  readonly etaS: number;
  /** Paces that the slowest worker is judged by; those of the last step when not given. */
  readonly paces?: readonly PaceView[];
  readonly pid: number;
  /** Why the world of now was formed, if known. */
  readonly worldReason?: string;
  /** On the clock of the state's own times. */
  readonly nowMs: number;
}

/** Describes a run; workers of the world first, by rank, then the others by name. */
export function describeRun(state: CoordinatorState, facts: RunFacts): RunStatus {
  const world = worldOf(state);
  const workers = [...state.workers.values()]
    .map((view) => describeWorker(view, world, facts.nowMs))
    .sort(inOrder);
  const paces = facts.paces ?? pacesOf(workers);
  const members = new Set(workers.filter(({ rank }) => rank >= 0).map(({ worker }) => worker));
  return {
    run: facts.run,
    url: facts.url,
    term: state.config.term,
    stage: state.stage.kind,
    reason: reasonOf(state),
    generation: world?.generation ?? 0,
    step: newestStep(state),
    until: state.config.until,
    lastStep: state.config.lastStep,
    checkpoint: state.savedStep ?? 0,
    imagesPerS: facts.imagesPerS,
    etaS: facts.etaS,
    workers,
    straggler: findStraggler(paces.filter(({ worker }) => members.has(worker))),
    target: state.target,
    coordinatorPid: facts.pid,
    worldReason: facts.worldReason ?? '',
    exitCode: state.stage.kind === 'ended' ? state.stage.ending.exitCode : 0,
  };
}

function worldOf({ stage }: CoordinatorState): FormedWorld | undefined {
  return 'world' in stage ? stage.world : undefined;
}

function reasonOf({ stage, stopReason, ending }: CoordinatorState): string {
  if (stage.kind === 'halting') return stage.reason;
  if (stage.kind === 'ended') return stage.ending.reason;
  return ending?.reason ?? stopReason ?? '';
}

/** Workers are ahead of what the coordinator has noted, by a heartbeat. */
function newestStep(state: CoordinatorState): number {
  const steps = [...state.workers.values()]
    .filter(({ status, isDiverged }) => status.hasState && !isDiverged)
    .map(({ status }) => status.step);
  return Math.max(state.newestStep, ...steps);
}

function describeWorker(
  view: WorkerView,
  world: FormedWorld | undefined,
  nowMs: number,
): RunWorker {
  const { worker, incarnation, address, pid, host, allowsFaults, status } = view;
  const member = world?.members.find(
    (one) => one.worker === worker && one.incarnation === incarnation,
  );
  return {
    worker,
    rank: member?.rank ?? -1,
    stage: status.isLeaving ? `${status.stage}, leaving` : status.stage,
    step: status.step,
    activity: status.trouble === '' ? status.activity : status.trouble,
    isConnected: view.session !== undefined,
    silentS: Math.max(0, nowMs - view.heardMs) / 1000,
    ...{ pid, host, address, incarnation, allowsFaults },
    pace: status.pace,
  };
}

function pacesOf(workers: readonly RunWorker[]): PaceView[] {
  return workers.map(({ worker, pace }) => ({ worker, pace }));
}

function inOrder(a: RunWorker, b: RunWorker): number {
  if (a.rank >= 0 !== b.rank >= 0) return a.rank >= 0 ? -1 : 1;
  return a.rank - b.rank || (a.worker < b.worker ? -1 : 1);
}
