// Which worker holds the others up, and in what. All take a step together, so the seconds of the
// whole step say nothing: the slow one is known by its own work, or by all waiting for it.

import type { Pace, StatusMessage, WorkerStatus } from '../../shared/control/messages.js';
import { shareOf } from '../../shared/plan/reduction.js';
import type { Generation, Step } from '../../shared/words.js';
import { worldOf, type CoordinatorEvent, type CoordinatorState } from './state.js';

/** A worker's seconds. `share`: its micro-shards of a step, if they are to be reckoned with. */
export interface PaceView {
  readonly worker: string;
  readonly pace: Pace;
  readonly share?: number;
}

/** The one that holds the others up, and by how many seconds a step. */
export interface Straggler {
  readonly worker: string;
  readonly phase: 'data' | 'compute' | 'exchange';
  readonly excessS: number;
}

/** Less than this fraction of a step, or this many seconds, is not worth a word. */
const leastFraction = 0.1;
const leastS = 0.02;

/**
 * Names the worker whose own work (data and compute) exceeds the median of the others', and the
 * phase that exceeds most. If no one's does, the peer that at least half of the others wait for
 * alone: its link is slow, phase `exchange`. Undefined when all are alike, or there is only one.
 * Workers that have not taken a step yet don't count.
 */
export function findStraggler(views: readonly PaceView[]): Straggler | undefined {
  const paced = views
    .filter(({ pace }) => stepSeconds(pace) > 0)
    .sort((a, b) => (a.worker < b.worker ? -1 : 1));
  if (paced.length < 2) return undefined;
  const limitS = Math.max(leastS, leastFraction * median(paced.map((v) => stepSeconds(v.pace))));
  const slowest = greatest(ownExcesses(paced));
  if (slowest !== undefined && slowest.excessS > limitS) return slowest.straggler;
  return greatest(awaited(paced, limitS))?.straggler;
}

interface Candidate {
  readonly straggler: Straggler;
  /** What candidates are compared by: seconds. */
  readonly excessS: number;
}

function ownExcesses(paced: readonly PaceView[]): Candidate[] {
  const allHaveShares = paced.every(({ share = 0 }) => share > 0);
  const leaves = ({ share = 1 }: PaceView): number => (allHaveShares ? share : 1);
  /** By how much a worker exceeds the others in something, were their shares as large as its. */
  const excessOver = (secondsOf: (pace: Pace) => number): ((view: PaceView) => number) => {
    const perShare = (view: PaceView): number => secondsOf(view.pace) / leaves(view);
    const sorted = paced.map(perShare).sort((a, b) => a - b);
    return (view) => (perShare(view) - medianWithout(sorted, perShare(view))) * leaves(view);
  };
  const dataExcess = excessOver((pace) => pace.dataS);
  const computeExcess = excessOver((pace) => pace.computeS);
  const ownExcess = excessOver((pace) => pace.dataS + pace.computeS);
  return paced.map((view) => {
    const phase = dataExcess(view) > computeExcess(view) ? 'data' : 'compute';
    const excessS = ownExcess(view);
    return { straggler: { worker: view.worker, phase, excessS }, excessS };
  });
}

function awaited(paced: readonly PaceView[], limitS: number): Candidate[] {
  const waits = new Map<string, number[]>(paced.map(({ worker }) => [worker, []]));
  for (const { worker, pace } of paced)
    if (pace.waitedS > limitS && pace.waitedFor !== worker)
      waits.get(pace.waitedFor)?.push(pace.waitedS);
  return [...waits]
    .filter(([, waitsS]) => waitsS.length > 0 && waitsS.length * 2 >= paced.length - 1)
    .map(([worker, waitsS]) => ({
      straggler: { worker, phase: 'exchange', excessS: median(waitsS) },
      // Two may be named by half of the others each: the one with the longer waits in all.
      excessS: waitsS.reduce((sum, waitedS) => sum + waitedS, 0),
    }));
}

/** The first of those with the greatest excess: the order by name decides between equals. */
function greatest(candidates: readonly Candidate[]): Candidate | undefined {
  return candidates.reduce<Candidate | undefined>(
    (best, next) => (best === undefined || next.excessS > best.excessS ? next : best),
    undefined,
  );
}

function stepSeconds({ dataS, computeS, exchangeS, updateS }: Pace): number {
  return dataS + computeS + exchangeS + updateS;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return middle(sorted.length, (i) => sorted[i] ?? 0);
}

/** The median of sorted values but one: `value`, which is among them. */
function medianWithout(sorted: readonly number[], value: number): number {
  const at = (i: number): number => sorted[i] ?? 0;
  return middle(sorted.length - 1, (i) => (at(i) < value ? at(i) : at(i + 1)));
}

function middle(length: number, at: (i: number) => number): number {
  const upper = at(length >> 1);
  return length % 2 === 1 ? upper : (upper + at((length >> 1) - 1)) / 2;
}

/** Moving averages of the seconds of one world's workers. */
export interface PaceAverages {
  generation: Generation;
  readonly workers: Map<string, PaceAverage>;
}

interface PaceAverage {
  readonly step: Step;
  /** Steps that went in, up to `averagedSteps`. */
  readonly steps: number;
  readonly pace: Pace;
  /** Seconds waited for each of the peers that were waited for most. */
  readonly waits: ReadonlyMap<string, number>;
}

/** About as many steps make an average. */
const averagedSteps = 5;
/** Peers a worker's waits are remembered of. */
const maxWaits = 8;

/** No averages yet. */
export function createPaceAverages(): PaceAverages {
  return { generation: 0, workers: new Map() };
}

/** Whether an event is the status of a member in the present world: only those are averaged. */
export function isOfMember(
  { workers, lastWorld }: CoordinatorState,
  event: CoordinatorEvent,
): event is CoordinatorEvent & { readonly kind: 'message'; readonly message: StatusMessage } {
  if (event.kind !== 'message' || event.message.kind !== 'status') return false;
  const view = workers.get(event.worker);
  const isHeard = view?.session === event.session && view.hasBeenMember;
  return isHeard && event.message.generation === lastWorld?.generation;
}

/**
 * Takes in what a status says of its step; a step that was taken in already, a step of an earlier
 * world and a status without a pace change nothing. A later world starts from nothing: the
 * averages are those of one world's members, so there are never more than it has.
 */
export function observePace(
  averages: PaceAverages,
  worker: string,
  { generation, step, pace }: Pick<WorkerStatus, 'generation' | 'step' | 'pace'>,
): void {
  if (generation < averages.generation || stepSeconds(pace) === 0) return;
  if (generation > averages.generation) {
    averages.generation = generation;
    averages.workers.clear();
  }
  const before = averages.workers.get(worker);
  if (before === undefined || before.step < step)
    averages.workers.set(worker, averaged(before, step, pace));
}

/**
 * The averages by worker, for `findStraggler`; `leavesOf` says how many micro-shards a worker
 * computes a step, 0 where that is not known.
 */
export function averagePaces(
  averages: PaceAverages,
  leavesOf: (worker: string) => number = () => 0,
): PaceView[] {
  return [...averages.workers].map(([worker, { pace }]) => {
    return { worker, pace, share: leavesOf(worker) };
  });
}

/** How many micro-shards a step each member of the present world computes. */
export function sharesIn(state: CoordinatorState): (worker: string) => number {
  const members = worldOf(state)?.members ?? [];
  const shares = new Map(
    members.map(({ worker, rank }) => {
      const { start, end } = shareOf(rank, members.length, state.config.microShards);
      return [worker, end - start];
    }),
  );
  return (worker) => shares.get(worker) ?? 0;
}

function averaged(before: PaceAverage | undefined, step: Step, pace: Pace): PaceAverage {
  const steps = Math.min((before?.steps ?? 0) + 1, averagedSteps);
  const mix = (old: number, now: number): number => old + (now - old) / steps;
  const old = before?.pace ?? pace;
  const peers = new Set([...(before?.waits.keys() ?? []), pace.waitedFor]);
  const waits = [...peers]
    .map((peer): [string, number] => {
      const nowS = peer === pace.waitedFor ? pace.waitedS : 0;
      return [peer, mix(before?.waits.get(peer) ?? 0, nowS)];
    })
    .sort(([a, aS], [b, bS]) => bS - aS || (a < b ? -1 : 1))
    .slice(0, maxWaits);
  const [waitedFor, waitedS] = waits[0] ?? ['', 0];
  return {
    step,
    steps,
    waits: new Map(waits),
    pace: {
      dataS: mix(old.dataS, pace.dataS),
      computeS: mix(old.computeS, pace.computeS),
      exchangeS: mix(old.exchangeS, pace.exchangeS),
      updateS: mix(old.updateS, pace.updateS),
      waitedFor,
      waitedS,
      // What a peer takes late counts for the step after.
      sentBytes: Math.round(mix(old.sentBytes, pace.sentBytes)),
      receivedBytes: Math.round(mix(old.receivedBytes, pace.receivedBytes)),
      ...{ slowLink: pace.slowLink, linkBytesPerS: pace.linkBytesPerS },
    },
  };
}
