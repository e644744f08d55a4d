// The sending half of the core: what each peer has asked for, whether that is sane, and which
// frame goes to it next. Knows chunk numbers and lengths, never values.
//
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

import { chunkRange, ownedChunks } from '../../shared/plan/chunks.js';
import type { Rank, Step } from '../../shared/words.js';
import type { FrameHeader } from './frame.js';
import type { Progress } from './progress.js';
import type { CoreWorld, Pull } from './pulls.js';

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
  /** That frame, which thereby counts as sent; undefined when there is none. */
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

/** What a peer gets of one step. `node` counts the contributions of chunk `reduce.next`. */
interface Serving {
  readonly step: Step;
  readonly floats: number;
  readonly reduce: Lane;
  readonly gather: Lane;
  node: number;
}

/** Creates the sending half for one world. */
export function createSender(world: CoreWorld, progress: Progress): Sender {
  const servings = new Map<Rank, Serving>();
  const held = world.plan.heldBy[world.rank]!;

  function laneOf(rank: Rank, floats: number): Lane {
    const { start, end } = ownedChunks(rank, world.worldSize, floats);
    return { next: start, asked: start, end };
  }

  function servingOf(from: Rank, pull: Pull): Serving {
    const known = servings.get(from);
    if (known?.step === pull.step) return known;
    const { step, floats } = pull;
    const reduce = laneOf(from, floats);
    return { step, floats, reduce, gather: laneOf(world.rank, floats), node: 0 };
  }

  function onPull(from: Rank, pull: Pull): string | undefined {
    const reason = stepRefusal(from, pull);
    if (reason !== undefined) return reason;
    const serving = servingOf(from, pull);
    const lane = serving[pull.phase];
    if (pull.floats !== serving.floats) {
      return `two lengths for step ${pull.step}: ${serving.floats} and ${pull.floats}`;
    }
    if (pull.firstChunk !== lane.asked || pull.endChunk <= lane.asked || pull.endChunk > lane.end) {
      const range = `[${pull.firstChunk}, ${pull.endChunk})`;
      return `${pull.phase} of chunks ${range}; next are [${lane.asked}, ${lane.end})`;
    }
    lane.asked = pull.endChunk;
    servings.set(from, serving);
    return undefined;
  }

  function stepRefusal(from: Rank, pull: Pull): string | undefined {
    const { generation, step, floats, phase } = pull;
    const serving = servings.get(from);
    if (generation !== world.generation) {
      return `a request of generation ${generation}; this is generation ${world.generation}`;
    }
    if (floats < 1 || floats > world.capacity) {
      return `a vector of ${floats} floats; the world's has ${world.capacity}`;
    }
    if (serving !== undefined && step < serving.step) return `step ${step} after ${serving.step}`;
    if (serving !== undefined && step > serving.step && !isExhausted(serving)) {
      return `step ${step} before it had all of step ${serving.step}`;
    }
    return agreement(step, floats, phase === 'gather');
  }

  /** A peer may be one step ahead, or one behind when it only gathers. */
  function agreement(step: Step, floats: number, onlyGathers: boolean): string | undefined {
    const { current, previous } = progress;
    if (current === undefined || step === current.step + 1) return undefined;
    const ours = step === current.step ? current : onlyGathers ? previous : undefined;
    if (ours?.step !== step) return `step ${step}; this worker is at step ${current.step}`;
    if (ours.floats === floats) return undefined;
    return `${floats} floats at step ${step}; this worker has ${ours.floats}`;
  }

  function begin(): Refusal[] {
    return [...servings].sort(byRank).flatMap(([rank, { step, floats, reduce, gather }]) => {
      if (reduce.next === reduce.asked && gather.next === gather.asked) return [];
      const reason = agreement(step, floats, reduce.next === reduce.asked);
      return reason === undefined ? [] : [{ rank, reason }];
    });
  }

  function readyLane(to: Rank): 'reduce' | 'gather' | undefined {
    const serving = servings.get(to);
    if (serving === undefined) return undefined;
    const isCurrent = serving.step === progress.current?.step;
    if (isCurrent && isWaiting(serving.reduce)) return 'reduce';
    if (!isWaiting(serving.gather)) return undefined;
    const isReady = isCurrent
      ? progress.isDone(serving.gather.next)
      : serving.step === progress.previous?.step;
    return isReady ? 'gather' : undefined;
  }

  function nextFrame(to: Rank): Outgoing | undefined {
    const lane = readyLane(to);
    if (lane === undefined) return undefined;
    const serving = servings.get(to)!;
    if (lane === 'reduce') return nextSum(serving);
    return frameOf('gather', serving, serving.gather.next++, undefined);
  }

  function nextSum(serving: Serving): Outgoing {
    const frame = frameOf('reduce', serving, serving.reduce.next, serving.node);
    serving.node = (serving.node + 1) % held.length;
    if (serving.node === 0) serving.reduce.next += 1;
    return frame;
  }

  function frameOf(
    kind: 'reduce' | 'gather',
    { step, floats }: Serving,
    chunk: number,
    contribution: number | undefined,
  ): Outgoing {
    const slice = chunkRange(chunk, floats);
    const leaves =
      contribution === undefined ? { start: 0, end: 0 } : world.plan.nodes[held[contribution]!]!;
    const { generation } = world;
    const { start, end } = leaves;
    const count = slice.end - slice.start;
    const header = { kind, generation, step, chunk, start, end, floats: count };
    return { header, contribution, firstFloat: slice.start };
  }

  function isServed(to: Rank): boolean {
    const last = progress.isComplete ? progress.current : progress.previous;
    if (last === undefined) return true;
    const { start, end } = ownedChunks(world.rank, world.worldSize, last.floats);
    const serving = servings.get(to);
    if (start === end || (serving !== undefined && serving.step > last.step)) return true;
    return serving?.step === last.step && serving.gather.next === end;
  }

  return {
    begin,
    onPull,
    canSend: (to) => readyLane(to) !== undefined,
    nextFrame,
    owes: (to) => {
      const serving = servings.get(to);
      return serving !== undefined && (isWaiting(serving.reduce) || isWaiting(serving.gather));
    },
    isServed,
  };
}

function isExhausted({ reduce, gather }: Serving): boolean {
  return reduce.next === reduce.end && gather.next === gather.end;
}

function isWaiting(lane: Lane): boolean {
  return lane.next < lane.asked;
}

function byRank(a: readonly [Rank, unknown], b: readonly [Rank, unknown]): number {
  return a[0] - b[0];
}
