// The receiving half of the core: which chunks are wanted from which peer, what may be added as it
// arrives, and when the step is complete.

import { chunkCount, chunkRange, ownedChunks, type Range } from '../../../shared/plan/reduction.js';
import type { Rank, Step } from '../../../shared/words.js';
import type { FrameHeader, Pull, PullPhase } from './messages.js';
import type { NodeIndex, ReductionWorld, StepProgress } from './world.js';

/** What the edge has to do, in this order. */
export type ReceiveEffect =
  | { readonly kind: 'ask'; readonly to: Rank; readonly pull: Pull }
  /** The values of the frame just received are those of `node`. */
  | { readonly kind: 'hold'; readonly chunk: number; readonly node: NodeIndex }
  /** node = left + right; neither child is needed afterwards. */
  | {
      readonly kind: 'add';
      readonly chunk: number;
      readonly node: NodeIndex;
      readonly left: NodeIndex;
      readonly right: NodeIndex;
    }
  /** result = (left + right) / M, or left / M where one worker holds the whole tree. */
  | {
      readonly kind: 'finish';
      readonly chunk: number;
      readonly left: NodeIndex;
      readonly right: NodeIndex | undefined;
    }
  /** The values of the frame just received are the result of the chunk. */
  | { readonly kind: 'store'; readonly chunk: number }
  | { readonly kind: 'done'; readonly step: Step }
  | { readonly kind: 'refuse'; readonly from: Rank; readonly reason: string };

export interface Receiver {
  /** The step has begun (in `progress`): asks the peers for their part of it. */
  begin(): ReceiveEffect[];
  /** A REDUCE or GATHER frame came. Refused, with nothing changed, unless it was asked for. */
  onFrame(from: Rank, header: FrameHeader): ReceiveEffect[];
  /** Frames asked of `rank` that have not come. */
  awaited(rank: Rank): number;
  /** The only peer that owes us sums asked for; undefined when several do, or none. */
  awaitedAlone(): Rank | undefined;
  /** Whether the step under way still needs anything of `rank`, asked already or not. */
  needs(rank: Rank): boolean;
}

/** What is asked and not complete. `open` has, for each owned chunk asked for, the nodes here. */
interface State {
  readonly world: ReductionWorld;
  readonly progress: StepProgress;
  readonly peers: readonly Rank[];
  readonly awaited: number[];
  /** Of those, the sums: results come late for everybody when one worker's sums do. */
  readonly awaitedSums: number[];
  readonly open: Map<number, Uint8Array>;
  owned: Range;
  /** Owned chunks are asked for up to here. */
  asked: number;
}

/** Creates the receiving half for one world. */
export function createReceiver(world: ReductionWorld, progress: StepProgress): Receiver {
  const state: State = {
    world,
    progress,
    peers: othersFrom(world.rank, world.worldSize),
    awaited: new Array<number>(world.worldSize).fill(0),
    awaitedSums: new Array<number>(world.worldSize).fill(0),
    open: new Map(),
    owned: { start: 0, end: 0 },
    asked: 0,
  };
  return {
    begin: () => begin(state),
    onFrame: (from, header) => onFrame(state, from, header),
    awaited: (rank) => state.awaited[rank],
    awaitedAlone: () => onlyPositive(state.awaitedSums),
    needs: (rank) =>
      !progress.isComplete && (state.awaited[rank] > 0 || state.asked < state.owned.end),
  };
}

/** The other ranks, starting behind our own, so that not all ask rank 0 first. */
function othersFrom(rank: Rank, worldSize: number): Rank[] {
  return Array.from({ length: worldSize - 1 }, (_, i) => (rank + 1 + i) % worldSize);
}

/** The index of the only value above 0. */
function onlyPositive(values: readonly number[]): number | undefined {
  let only: number | undefined;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === 0) continue;
    if (only !== undefined) return undefined;
    only = i;
  }
  return only;
}

function begin(state: State): ReceiveEffect[] {
  const { world, progress, peers, awaited } = state;
  const { step, floats } = progress.current!;
  if (peers.length === 0) return [...finishAlone(progress, floats), { kind: 'done', step }];
  state.owned = ownedChunks(world.rank, world.worldSize, floats);
  state.asked = state.owned.start;
  const gathers = peers.flatMap((to): ReceiveEffect[] => {
    const range = ownedChunks(to, world.worldSize, floats);
    awaited[to] = range.end - range.start;
    return awaited[to] === 0 ? [] : [{ kind: 'ask', to, pull: pullOf(state, 'gather', range) }];
  });
  return [...gathers, ...askMore(state)];
}

/** One worker holds the whole tree: every chunk is finished from its root. */
function finishAlone(progress: StepProgress, floats: number): ReceiveEffect[] {
  return Array.from({ length: chunkCount(floats) }, (_, chunk) => {
    progress.setDone(chunk);
    return { kind: 'finish', chunk, left: 0, right: undefined };
  });
}

function pullOf({ world, progress }: State, phase: PullPhase, range: Range): Pull {
  const { step, floats } = progress.current!;
  const { generation } = world;
  return { generation, step, phase, firstChunk: range.start, endChunk: range.end, floats };
}

/** Asks every peer for as many chunks as the window has room for, in few large requests. */
function askMore(state: State): ReceiveEffect[] {
  const { world, open, peers, awaited, awaitedSums } = state;
  const rest = state.owned.end - state.asked;
  const count = Math.min(world.windowChunks - open.size, rest);
  if (count === 0 || (count < rest && count < world.windowChunks / 4)) return [];
  const range = { start: state.asked, end: state.asked + count };
  for (let chunk = range.start; chunk < range.end; chunk++) open.set(chunk, ownNodes(world));
  state.asked = range.end;
  return peers.map((to) => {
    const sums = count * world.plan.heldBy[to].length;
    awaited[to] += sums;
    awaitedSums[to] += sums;
    return { kind: 'ask', to, pull: pullOf(state, 'reduce', range) };
  });
}

function ownNodes({ plan, rank }: ReductionWorld): Uint8Array {
  const present = new Uint8Array(plan.nodes.length);
  for (const node of plan.heldBy[rank]) present[node] = 1;
  return present;
}

function onFrame(state: State, from: Rank, header: FrameHeader): ReceiveEffect[] {
  const { progress } = state;
  const reason = frameRefusal(state, from, header);
  if (reason !== undefined) return [{ kind: 'refuse', from, reason }];
  state.awaited[from] -= 1;
  if (header.kind === 'reduce') state.awaitedSums[from] -= 1;
  const effects = header.kind === 'reduce' ? onSum(state, header) : onResult(state, header);
  if (progress.isComplete) effects.push({ kind: 'done', step: header.step });
  return effects;
}

function onResult({ progress }: State, { chunk }: FrameHeader): ReceiveEffect[] {
  progress.setDone(chunk);
  return [{ kind: 'store', chunk }];
}

/** A node came: adds it to its sibling, that sum to its own, and so on up the tree. */
function onSum(state: State, { chunk, start, end }: FrameHeader): ReceiveEffect[] {
  const { nodes, find } = state.world.plan;
  const present = state.open.get(chunk)!;
  let node = find(start, end)!;
  const effects: ReceiveEffect[] = [{ kind: 'hold', chunk, node }];
  for (;;) {
    present[node] = 1;
    const parent = nodes[node].parent!;
    const left = nodes[parent].left!;
    const right = nodes[parent].right!;
    if (present[left] === 0 || present[right] === 0) return effects;
    if (parent === 0) return [...effects, ...onRoot(state, chunk, left, right)];
    effects.push({ kind: 'add', chunk, node: parent, left, right });
    node = parent;
  }
}

function onRoot(state: State, chunk: number, left: NodeIndex, right: NodeIndex): ReceiveEffect[] {
  state.open.delete(chunk);
  state.progress.setDone(chunk);
  return [{ kind: 'finish', chunk, left, right }, ...askMore(state)];
}

/** Why the frame of `from` is refused; undefined when it is wanted. */
function frameRefusal(state: State, from: Rank, header: FrameHeader): string | undefined {
  const { world, progress } = state;
  const { current } = progress;
  const { kind, generation, step, chunk, floats } = header;
  if (generation !== world.generation) {
    return `a frame of generation ${generation}; this is generation ${world.generation}`;
  }
  if (current === undefined || progress.isComplete || step !== current.step) {
    return `a frame of step ${step}, which is not under way here`;
  }
  if (chunk >= chunkCount(current.floats)) return `chunk ${chunk}, beyond the vector`;
  const { start, end } = chunkRange(chunk, current.floats);
  if (floats !== end - start) return `${floats} floats for chunk ${chunk} of ${end - start}`;
  if (kind === 'reduce') return sumRefusal(state, from, header);
  return resultRefusal(state, from, chunk, current.floats);
}

function sumRefusal(
  { world, open }: State,
  from: Rank,
  { chunk, start, end }: FrameHeader,
): string | undefined {
  const present = open.get(chunk);
  const node = world.plan.find(start, end);
  if (present === undefined) return `a sum for chunk ${chunk}, which was not asked for`;
  if (node === undefined || world.plan.nodes[node].holder !== from) {
    return `a sum over the leaves [${start}, ${end}), which rank ${from} does not hold`;
  }
  return present[node] === 1 ? `chunk ${chunk} of leaves [${start}, ${end}) twice` : undefined;
}

function resultRefusal(
  { world, progress }: State,
  from: Rank,
  chunk: number,
  floats: number,
): string | undefined {
  const theirs = ownedChunks(from, world.worldSize, floats);
  if (chunk < theirs.start || chunk >= theirs.end) {
    return `a result for chunk ${chunk}, which rank ${from} does not own`;
  }
  return progress.isDone(chunk) ? `the result of chunk ${chunk} twice` : undefined;
}
