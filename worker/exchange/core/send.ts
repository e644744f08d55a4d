// The sending half of the core: what each peer has asked for, whether a request is sane, and which
// frame goes to it next.

import type { Range } from '../../../shared/plan/reduction.js';
import { equalStepShapes, type StepShape } from '../../../shared/plan/step-vector.js';
import type { Rank, Step } from '../../../shared/words.js';
import type { FrameHeader, Pull, PullPhase } from './messages.js';
import type { ReductionWorld, StepChunks, StepProgress } from './world.js';

// Why two result vectors are enough. results[s % 2] is written again from the moment when step
// s + 2 begins: at once by the compute thread with the factors of its leaves, and by the network
// thread with what comes of others. A step begins only when the one before is complete, so step
// s + 1 is complete here by then. It has a chunk that is summed (a shape has an exact value at
// least), and the result of that needed the sums of every rank. A rank has sums of step s + 1 only
// after it began that step, hence after its own step s was complete: no peer can still pull
// anything of step s, neither results nor factors. By the same argument a peer is at most one step
// behind (it may still pull our results and factors of the previous step) and at most one ahead
// (its requests wait). One vector would do for the wire alone; the second is for this worker's
// compute thread, which reads step s while peers write step s + 1.
//
// The argument is about workers, whose step is complete when all of its lanes are. A lane of a step
// may have no chunk that is summed, so that it can be complete while the same lane of a peer has
// not noted the beginning of it; hence `stepsAhead`. What is overwritten is safe all the same.
//
// Why a contribution may be overwritten once its step is complete here: every chunk of the result
// needed it, so each owner has received it.

/** A frame to send: its values are a slice of a contribution, or of the step's result. */
export interface Outgoing {
  readonly header: FrameHeader;
  /** Index of the contribution; undefined for the result. */
  readonly contribution: number | undefined;
  /** Where the slice begins, in bytes of the vector; the header says how long it is. */
  readonly start: number;
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
  /** Whether `to` was sent all results and factors of our last complete step. */
  isServed(to: Rank): boolean;
}

/**
 * Chunks of one phase: asked for up to `asked`, to be asked for up to `end`. Sent up to `next`,
 * which has a place for each contribution where sums are sent, and else one.
 */
interface Queue {
  readonly next: number[];
  asked: number;
  readonly end: number;
}

/** What a peer gets of one step. */
interface PeerShare extends Readonly<Record<PullPhase, Queue>> {
  readonly step: Step;
  readonly chunks: StepChunks;
}

interface State {
  readonly world: ReductionWorld;
  readonly progress: StepProgress;
  /** What each peer gets of the step it has asked for last. */
  readonly servings: Map<Rank, PeerShare>;
}

/** A frame that can leave: the phase, and which of the queue's places moves on. */
interface Ready {
  readonly phase: PullPhase;
  readonly place: number;
}

/** Creates the sending half for one world. */
export function createSender(world: ReductionWorld, progress: StepProgress): Sender {
  const state: State = { world, progress, servings: new Map() };
  return {
    begin: () => begin(state),
    onPull: (from, pull) => onPull(state, from, pull),
    canSend: (to) => readyFrame(state, to) !== undefined,
    nextFrame: (to) => nextFrame(state, to),
    owes: (to) => {
      const serving = state.servings.get(to);
      return serving !== undefined && phases.some((phase) => isWaiting(serving[phase]));
    },
    isServed: (to) => isServed(state, to),
  };
}

/**
 * What leaves first. Factors are few, and are multiplied while sums still travel; then sums: the
 * owner's reduction, and with it everybody's gathering, waits for them.
 */
const phases = ['leaf', 'reduce', 'gather'] as const satisfies readonly PullPhase[];

function begin({ world, progress, servings }: State): Refusal[] {
  return [...servings].sort(byRank).flatMap(([rank, serving]) => {
    if (!phases.some((phase) => isWaiting(serving[phase]))) return [];
    const { step, chunks, reduce } = serving;
    const reason = agreement(world, progress, step, chunks.shape, !isWaiting(reduce));
    return reason === undefined ? [] : [{ rank, reason }];
  });
}

function byRank(a: readonly [Rank, unknown], b: readonly [Rank, unknown]): number {
  return a[0] - b[0];
}

function onPull({ world, progress, servings }: State, from: Rank, pull: Pull): string | undefined {
  const { generation, step, shape, phase, endChunk } = pull;
  if (generation !== world.generation) {
    return `a request of generation ${generation}; this is generation ${world.generation}`;
  }
  const chunks = world.chunksOf(shape);
  if (chunks === undefined) return `${written(shape)}, for which the world's vectors have no room`;
  const known = servings.get(from);
  const serving = known?.step === step ? known : shareFor(world, from, step, chunks);
  const reason = pullRefusal(world, progress, known, serving, pull);
  if (reason !== undefined) return reason;
  serving[phase].asked = endChunk;
  servings.set(from, serving);
  return undefined;
}

/** What `to` may ask for of a step; nothing asked for yet. */
function shareFor(
  { plan, rank }: ReductionWorld,
  to: Rank,
  step: Step,
  chunks: StepChunks,
): PeerShare {
  return {
    ...{ step, chunks },
    reduce: queueOf(chunks.ownedBy(to), plan.heldBy[rank].length),
    gather: queueOf(chunks.ownedBy(rank), 1),
    leaf: queueOf(chunks.computedBy(rank), 1),
  };
}

function queueOf({ start, end }: Range, places: number): Queue {
  return { next: new Array<number>(places).fill(start), asked: start, end };
}

function readyFrame({ progress, servings }: State, to: Rank): Ready | undefined {
  const serving = servings.get(to);
  if (serving === undefined) return undefined;
  const isCurrent = serving.step === progress.current?.step;
  if (!isCurrent && serving.step !== progress.previous?.step) return undefined;
  for (const phase of phases) {
    const place = readyPlace(progress, serving[phase], phase, isCurrent);
    if (place !== undefined) return { phase, place };
  }
  return undefined;
}

/** The place whose chunk comes first, of those that can move on. */
function readyPlace(
  progress: StepProgress,
  { next, asked }: Queue,
  phase: PullPhase,
  isCurrent: boolean,
): number | undefined {
  let first: number | undefined;
  for (let place = 0; place < next.length; place++) {
    const chunk = next[place];
    if (chunk >= asked || (first !== undefined && next[first] <= chunk)) continue;
    const isHere = phase === 'reduce' ? progress.hasContribution(place) : progress.isDone(chunk);
    // Of the previous step only results and factors are asked for, and all of them are here.
    if (isCurrent ? isHere : phase !== 'reduce') first = place;
  }
  return first;
}

function nextFrame(state: State, to: Rank): Outgoing | undefined {
  const ready = readyFrame(state, to);
  if (ready === undefined) return undefined;
  const serving = state.servings.get(to)!;
  const { phase, place } = ready;
  const chunk = serving[phase].next[place]++;
  return frameOf(state.world, serving, phase, chunk, place);
}

function frameOf(
  { plan, rank, generation }: ReductionWorld,
  { step, chunks }: PeerShare,
  phase: PullPhase,
  chunk: number,
  place: number,
): Outgoing {
  const { start, end, leaf } = chunks.all[chunk];
  const isSum = phase === 'reduce';
  const covered = isSum ? plan.nodes[plan.heldBy[rank][place]] : leafNode(leaf);
  const header: FrameHeader = {
    ...{ kind: phase, generation, step, chunk },
    ...{ start: covered.start, end: covered.end, bytes: end - start },
  };
  return { header, contribution: isSum ? place : undefined, start };
}

/** The leaves that a frame without sums is about: one, or for results none in particular. */
function leafNode(leaf: number | undefined): Range {
  return leaf === undefined ? { start: 0, end: 0 } : { start: leaf, end: leaf + 1 };
}

function isServed({ world, progress, servings }: State, to: Rank): boolean {
  const last = progress.isComplete ? progress.current : progress.previous;
  if (last === undefined) return true;
  const serving = servings.get(to);
  if (serving !== undefined && serving.step >= last.step)
    return serving.step > last.step || (isExhausted(serving.gather) && isExhausted(serving.leaf));
  const { gather, leaf } = shareFor(world, to, last.step, last.chunks);
  return isExhausted(gather) && isExhausted(leaf);
}

/** Whether the peer has asked for frames of the queue that were not sent. */
function isWaiting({ next, asked }: Queue): boolean {
  return next.some((chunk) => chunk < asked);
}

/** Whether everything there is was sent. */
function isExhausted({ next, end }: Queue): boolean {
  return next.every((chunk) => chunk === end);
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
  { step, shape, phase, firstChunk, endChunk }: Pull,
): string | undefined {
  if (known !== undefined && step < known.step) return `step ${step} after ${known.step}`;
  if (known !== undefined && step > known.step && !phases.every((one) => isExhausted(known[one]))) {
    return `step ${step} before it had all of step ${known.step}`;
  }
  if (!equalStepShapes(shape, serving.chunks.shape)) {
    return `two shapes for step ${step}: ${written(serving.chunks.shape)} and ${written(shape)}`;
  }
  const { asked, end } = serving[phase];
  if (firstChunk !== asked || endChunk <= asked || endChunk > end) {
    return `${phase} of chunks [${firstChunk}, ${endChunk}); next are [${asked}, ${end})`;
  }
  return agreement(world, progress, step, shape, phase !== 'reduce');
}

/**
 * Why a peer at `step` does not agree with ours: it may be ahead, or one behind when it asks for
 * no sums (see above).
 */
function agreement(
  { stepsAhead }: ReductionWorld,
  { current, previous }: StepProgress,
  step: Step,
  shape: StepShape,
  asksForNoSums: boolean,
): string | undefined {
  if (current === undefined || (step > current.step && step <= current.step + stepsAhead))
    return undefined;
  const ours = step === current.step ? current : asksForNoSums ? previous : undefined;
  if (ours?.step !== step) return `step ${step}; this worker is at step ${current.step}`;
  if (equalStepShapes(ours.chunks.shape, shape)) return undefined;
  return `${written(shape)} at step ${step}; this worker has ${written(ours.chunks.shape)}`;
}

function written({ exact, gradients, factors }: StepShape): string {
  return `${exact} + ${gradients} values and ${factors} a leaf`;
}
