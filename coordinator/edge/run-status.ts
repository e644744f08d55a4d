// A run as the operator sees it: its status, taken from what the coordinator knows, and its rate.
// Times come from the caller's clock.

import type { RunStatus, RunWorker } from '../../shared/control/admin.js';
import type { Pace } from '../../shared/control/messages.js';
import type { EventData } from '../../shared/events/kinds.js';
import {
  hasSoundState,
  workersOf,
  worldOf,
  type CoordinatorState,
  type FormedWorld,
  type WorkerView,
} from '../core/state.js';
import { findStraggler, type PaceView, type Straggler } from '../core/straggler.js';

/** What the state does not say. */
export interface StatusFacts {
  readonly run: string;
  readonly url: string;
  readonly imagesPerS: number;
  readonly etaS: number;
  /** Paces that the slowest worker is judged by; those of the last step when not given. */
  readonly paces?: readonly PaceView[];
  readonly pid: number;
  /** Why the world of now was formed, if known. */
  readonly worldReason?: string;
  /** What ails the networks, if anything does. */
  readonly health?: string;
  /** That our certificate ends soon, if it does. */
  readonly certificate?: string | undefined;
  /** On the clock of the state's own times. */
  readonly nowMs: number;
}

/** Describes a run; workers of the world first, by rank, then the others by name. */
export function describeRun(state: CoordinatorState, facts: StatusFacts): RunStatus {
  const world = worldOf(state);
  const workers = workersOf(state)
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
    health: facts.health ?? '',
    certificate: facts.certificate ?? '',
    exitCode: state.stage.kind === 'ended' ? state.stage.ending.exitCode : 0,
  };
}

function reasonOf({ stage, stopReason, ending }: CoordinatorState): string {
  if (stage.kind === 'halting') return stage.reason;
  if (stage.kind === 'ended') return stage.ending.reason;
  return ending?.reason ?? stopReason ?? '';
}

/** Workers are ahead of what the coordinator has noted, by a heartbeat. */
function newestStep(state: CoordinatorState): number {
  const steps = workersOf(state)
    .filter(hasSoundState)
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

/** Workers that an observation has at most. */
const maxObserved = 256;

/** How the workers of a run are, as an event; undefined where there is no world. */
export function observeWorld(
  state: CoordinatorState,
  paces: readonly PaceView[],
): EventData<'world.observed'> | undefined {
  const world = worldOf(state);
  if (world === undefined) return undefined;
  const averages = new Map(paces.map(({ worker, pace }) => [worker, pace]));
  const members = new Set(world.members.map(({ worker }) => worker));
  const workers = workersOf(state)
    .map((view) => describeWorker(view, world, view.heardMs))
    .filter(({ rank, isConnected }) => rank >= 0 || isConnected)
    .map((one) => ({ ...one, pace: averages.get(one.worker) ?? one.pace }))
    .sort((a, b) => ownSeconds(b.pace) - ownSeconds(a.pace) || inOrder(a, b));
  const straggler = findStraggler(paces.filter(({ worker }) => members.has(worker)));
  return {
    generation: world.generation,
    step: newestStep(state),
    workers: workers.slice(0, maxObserved).map(({ worker, rank, stage, step, host, pace }) => ({
      ...{ worker, rank, stage, step, host: host.slice(0, 200) },
      seconds: secondsOf(pace),
      waited_for: pace.waitedFor === '' ? null : pace.waitedFor,
      ...{ sent_bytes: pace.sentBytes, received_bytes: pace.receivedBytes },
      slow_link: slowLinkOf(pace),
    })),
    straggler: stragglerEvent(straggler) ?? null,
  };
}

/** The link that a worker's exchange waits for; null where none is slow. */
export function slowLinkOf({
  slowLink,
  linkBytesPerS,
}: Pace): { readonly peer: string; readonly bytes_per_s: number } | null {
  if (slowLink === undefined || linkBytesPerS === undefined) return null;
  return { peer: slowLink, bytes_per_s: Math.round(linkBytesPerS) };
}

/** What a worker takes for its own work; in the exchange all wait for each other. */
function ownSeconds({ dataS, computeS }: Pace): number {
  return dataS + computeS;
}

function secondsOf(pace: Pace): EventData<'world.observed'>['workers'][number]['seconds'] {
  const [data, compute] = [shortened(pace.dataS), shortened(pace.computeS)];
  const [exchange, update] = [shortened(pace.exchangeS), shortened(pace.updateS)];
  return { data, compute, exchange, update, wait: shortened(pace.waitedS) };
}

/** The slowest worker as events tell it. */
export function stragglerEvent(
  slowest: Straggler | undefined,
): EventData<'step.committed'>['straggler'] {
  if (slowest === undefined) return undefined;
  const { worker, phase, excessS } = slowest;
  return { worker, phase, excess_s: shortened(excessS) };
}

/** Seconds, to a tenth of a millisecond. */
function shortened(seconds: number): number {
  return Math.round(1e4 * seconds) / 1e4;
}

/** How far back the rate looks, and how many steps it looks at all the same. */
const recentMs = 10_000;
const fewestSteps = 3;

/** Steps, or time, that an estimate rests on at least. */
const [soundSteps, soundMs] = [3, 5_000];

/** Steps that follow each other in less than this share of their own time come in a burst. */
const leastShare = 0.2;

export interface RunRate {
  /** A step was reported that took `seconds`. */
  stepped(step: number, phase: string, seconds: number): void;
  /** Images a second over the last seconds; 0 while that is unknown. */
  imagesPerSecond(): number;
  /** Images a second over this session's steps; 0 while that is unknown. */
  overall(): number;
  /** Seconds until `step` at the pace of the last seconds; 0 when unknown. */
  etaSeconds(step: number): number;
}

/** So many steps, taken in `ms` until `atMs`. */
interface Interval {
  readonly steps: number;
  readonly ms: number;
  readonly atMs: number;
}

/**
 * The rate of a session; `now` is in milliseconds. The first step of a phase is not counted: it
 * pays for compiling and filling caches. Phases differ in pace, so only the present one's counts
 * for what is to come.
 */
export function createRunRate(imagesPerStep: number, now: () => number): RunRate {
  let newest: { step: number; phase: string; ms: number } | undefined;
  let recent: readonly Interval[] = [];
  let all = { steps: 0, ms: 0 };
  const imagesPer = ({ steps, ms }: { steps: number; ms: number }): number =>
    ms === 0 ? 0 : round((steps * imagesPerStep * 1000) / ms);
  return {
    stepped: (step, phase, seconds) => {
      const ms = now();
      if (newest?.phase !== phase) recent = [];
      // Steps that come in a burst were taken earlier, and are reported again or late.
      const isBurst = newest !== undefined && ms - newest.ms < leastShare * 1000 * seconds;
      if (newest?.phase === phase && step > newest.step && !isBurst) {
        const taken = { steps: step - newest.step, ms: ms - newest.ms };
        all = sumOf([all, taken]);
        const kept = recent.filter(({ atMs }, i) => {
          return ms - atMs < recentMs || recent.length - i < fewestSteps;
        });
        recent = [...kept, { ...taken, atMs: ms }];
      }
      newest = { step, phase, ms };
    },
    imagesPerSecond: () => imagesPer(sumOf(recent)),
    overall: () => imagesPer(all),
    etaSeconds: (step) => {
      const { steps, ms } = sumOf(recent);
      const isSound = steps >= soundSteps || (steps > 0 && ms >= soundMs);
      return isSound ? round(((step - (newest?.step ?? step)) * ms) / steps / 1000) : 0;
    },
  };
}

function sumOf(parts: readonly { steps: number; ms: number }[]): { steps: number; ms: number } {
  const sum = { steps: 0, ms: 0 };
  for (const { steps, ms } of parts) [sum.steps, sum.ms] = [sum.steps + steps, sum.ms + ms];
  return sum;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
