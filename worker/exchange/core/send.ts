// The sending half of the core: what each peer has asked for, whether a request is sane, and which
// frame goes to it next.

import { chunkRange, ownedChunks } from '../../../shared/plan/reduction.js';
import type { Rank, Step } from '../../../shared/words.js';
import type { FrameHeader, Pull } from './messages.js';
import type { ReductionWorld, StepProgress } from './world.js';

// Why two result vectors are enough. A worker writes results[s % 2] again in step s + 2, and only
// with chunks that are finished, that is, to which every rank has contributed. A rank contributes
// to step s + 2 only after its own step s + 1, hence its step s, is complete; so no peer can still
// pull step s when its vector is first overwritten. By the same argument a peer is at most one
// step behind (it may still gather our results of the previous step) and at most one ahead (its
// requests wait). One vector would do for the wire alone; the second is for this worker's compute
// thread and for peers that must catch up, which read step s while step s + 1 is exchanged.
//
// Why a contribution may be overwritten once its step is complete here: every chunk of the result
// needed it, so each owner has received it.

/** A frame to send: its values are a slice of a contribution, or of the step's result. */
export interface Outgoing {
  readonly header: FrameHeader;
  /** Index of the contribution; undefined for the result. */
  readonly contribution: number | undefined;
  /** First value of the slice; the header says how many. */
  readonly firstFloat: number;
}

export interface Refusal {
  readonly rank: Rank;
  readonly reason: string;
}

export interface Sender {
  /** A step has begun: names the peers whose waiting requests do not agree with it. */
  begin(): Refusal[];
  /** Takes a request, or says why it is refused. */
  onPull(from: Rank, pull: Pull): string | undefined;
  /** Whether there is a frame to send to `to` now. */
  canSend(to: Rank): boolean;
  /** That frame, which counts as sent from now on; undefined when there is none. */
  nextFrame(to: Rank): Outgoing | undefined;
  /** Whether `to` has asked for frames that have not been sent. */
  owes(to: Rank): boolean;
  /** Whether `to` was sent all results of our last complete step. */
  isServed(to: Rank): boolean;
}

/** Chunks of one phase: sent up to `next`, asked for up to `asked`, to be asked for up to `end`. */
interface Lane {
  next: number;
  asked: number;
  readonly end: number;
}

/** What a peer gets of one step. `node` counts the contributions sent of chunk `reduce.next`. */
interface PeerShare {
  readonly step: Step;
  readonly floats: number;
  readonly reduce: Lane;
  readonly gather: Lane;
  node: number;
}

interface State {
  readonly world: ReductionWorld;
  readonly progress: StepProgress;
  /** What each peer gets of the step it has asked for last. */
  readonly servings: Map<Rank, PeerShare>;
}

/** Creates the sending half for one world. */
export function createSender(world: ReductionWorld, progress: StepProgress): Sender {
  const state: State = { world, progress, servings: new Map() };
  return {
    begin: () => begin(state),
    onPull: (from, pull) => onPull(state, from, pull),
    canSend: (to) => readyLane(state, to) !== undefined,
    nextFrame: (to) => nextFrame(state, to),
    owes: (to) => {
      const serving = state.servings.get(to);
      return serving !== undefined && (isWaiting(serving.reduce) || isWaiting(serving.gather));
    },
    isServed: (to) => isServed(state, to),
  };
}

function begin({ progress, servings }: State): Refusal[] {
  return [...servings].sort(byRank).flatMap(([rank, { step, floats, reduce, gather }]) => {
    if (!isWaiting(reduce) && !isWaiting(gather)) return [];
    const reason = agreement(progress, step, floats, !isWaiting(reduce));
    return reason === undefined ? [] : [{ rank, reason }];
  });
}

function byRank(a: readonly [Rank, unknown], b: readonly [Rank, unknown]): number {
  return a[0] - b[0];
}

function onPull({ world, progress, servings }: State, from: Rank, pull: Pull): string | undefined {
  const known = servings.get(from);
  const { step, floats, phase } = pull;
  const serving =
    known?.step === step
      ? known
      : { step, floats, reduce: laneOf(world, from, floats), ...ownLane(world, floats) };
  const reason = pullRefusal(world, progress, known, serving, pull);
  if (reason !== undefined) return reason;
  serving[phase].asked = pull.endChunk;
  servings.set(from, serving);
  return undefined;
}

function ownLane(world: ReductionWorld, floats: number): Pick<PeerShare, 'gather' | 'node'> {
  return { gather: laneOf(world, world.rank, floats), node: 0 };
}

/** Sums go first: the owner's reduction, and with it everybody's gathering, waits for them. */
function readyLane({ progress, servings }: State, to: Rank): 'reduce' | 'gather' | undefined {
  const serving = servings.get(to);
  if (serving === undefined) return undefined;
  const { step, reduce, gather } = serving;
  const isCurrent = step === progress.current?.step;
  if (isCurrent && isWaiting(reduce)) return 'reduce';
  if (!isWaiting(gather)) return undefined;
  const isReady = isCurrent ? progress.isDone(gather.next) : step === progress.previous?.step;
  return isReady ? 'gather' : undefined;
}

function nextFrame(state: State, to: Rank): Outgoing | undefined {
  const lane = readyLane(state, to);
  if (lane === undefined) return undefined;
  const serving = state.servings.get(to)!;
  if (lane === 'reduce') return nextSum(state.world, serving);
  return frameOf(state.world, serving, serving.gather.next++, undefined);
}

function nextSum(world: ReductionWorld, serving: PeerShare): Outgoing {
  const frame = frameOf(world, serving, serving.reduce.next, serving.node);
  serving.node = (serving.node + 1) % world.plan.heldBy[world.rank].length;
  if (serving.node === 0) serving.reduce.next += 1;
  return frame;
}

function frameOf(
  { plan, rank, generation }: ReductionWorld,
  { step, floats }: PeerShare,
  chunk: number,
  contribution: number | undefined,
): Outgoing {
  const slice = chunkRange(chunk, floats);
  const isSum = contribution !== undefined;
  const { start, end } = isSum ? plan.nodes[plan.heldBy[rank][contribution]] : noLeaves;
  const kind = isSum ? 'reduce' : 'gather';
  const count = slice.end - slice.start;
  const header = { kind, generation, step, chunk, start, end, floats: count } as const;
  return { header, contribution, firstFloat: slice.start };
}

const noLeaves = { start: 0, end: 0 };

function isServed({ world, progress, servings }: State, to: Rank): boolean {
  const last = progress.isComplete ? progress.current : progress.previous;
  if (last === undefined) return true;
  const { start, end } = ownedChunks(world.rank, world.worldSize, last.floats);
  const serving = servings.get(to);
  if (start === end || (serving !== undefined && serving.step > last.step)) return true;
  return serving?.step === last.step && serving.gather.next === end;
}

/** The lane of the chunks that `owner` owns, nothing asked for yet. */
function laneOf(world: ReductionWorld, owner: Rank, floats: number): Lane {
  const { start, end } = ownedChunks(owner, world.worldSize, floats);
  return { next: start, asked: start, end };
}

/** Whether the peer has asked for frames of the lane that were not sent. */
function isWaiting(lane: Lane): boolean {
  return lane.next < lane.asked;
}

/**
 * Why `pull` is refused; undefined when it is not. `known` is what the peer was served so far,
 * `serving` what the request belongs to: the same, or a new step's.
 */
function pullRefusal(
  world: ReductionWorld,
  progress: StepProgress,
  known: PeerShare | undefined,
  serving: PeerShare,
  pull: Pull,
): string | undefined {
  const { generation, step, floats, phase, firstChunk, endChunk } = pull;
  if (generation !== world.generation) {
    return `a request of generation ${generation}; this is generation ${world.generation}`;
  }
  if (floats < 1 || floats > world.capacity) {
    return `a vector of ${floats} floats; the world's has ${world.capacity}`;
  }
  if (known !== undefined && step < known.step) return `step ${step} after ${known.step}`;
  if (known !== undefined && step > known.step && !isExhausted(known)) {
    return `step ${step} before it had all of step ${known.step}`;
  }
  if (floats !== serving.floats) {
    return `two lengths for step ${step}: ${serving.floats} and ${floats}`;
  }
  const lane = serving[phase];
  if (firstChunk !== lane.asked || endChunk <= lane.asked || endChunk > lane.end) {
    return `${phase} of chunks [${firstChunk}, ${endChunk}); next are [${lane.asked}, ${lane.end})`;
  }
  return agreement(progress, step, floats, phase === 'gather');
}

/**
 * Why a peer at `step` does not agree with ours: it may be one step ahead, or one behind when it
 * only gathers (see above).
 */
function agreement(
  { current, previous }: StepProgress,
  step: Step,
  floats: number,
  onlyGathers: boolean,
): string | undefined {
  if (current === undefined || step === current.step + 1) return undefined;
  const ours = step === current.step ? current : onlyGathers ? previous : undefined;
  if (ours?.step !== step) return `step ${step}; this worker is at step ${current.step}`;
  if (ours.floats === floats) return undefined;
  return `${floats} floats at step ${step}; this worker has ${ours.floats}`;
}

function isExhausted({ reduce, gather }: PeerShare): boolean {
  return reduce.next === reduce.end && gather.next === gather.end;
}
