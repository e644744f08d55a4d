// The receiving half of the core: which chunks are wanted from which peer, what may be added as it
// arrives, and when the step is complete.

import type { Range } from '../../../shared/plan/reduction.js';
import type { Leaf, Rank, Step } from '../../../shared/words.js';
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
  /** The factors of all leaves are here. */
  | { readonly kind: 'gathered'; readonly step: Step }
  | { readonly kind: 'done'; readonly step: Step }
  | { readonly kind: 'refuse'; readonly from: Rank; readonly reason: string };

export interface Receiver {
  /** The step has begun (in `progress`): asks the peers for their part of it. */
  begin(): ReceiveEffect[];
  /** Our contribution `index` is complete: what waited for it is added. */
  contributed(index: number): ReceiveEffect[];
  /** The factors of a leaf of ours are in the result. */
  published(leaf: Leaf): ReceiveEffect[];
  /** A frame with values came. Refused, with nothing changed, unless it was asked for. */
  onFrame(from: Rank, header: FrameHeader): ReceiveEffect[];
  /** Frames asked of `rank` that have not come. */
  awaited(rank: Rank): number;
  /**
   * The only peer that owes us sums asked for; undefined when several do, or none, or while
   * contributions of our own are missing.
   */
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
    begin: () => [...begin(state), ...completed(state, true)],
    contributed: (index) => onContribution(state, index),
    published: (leaf) => onPublished(state, leaf),
    onFrame: (from, header) => onFrame(state, from, header),
    awaited: (rank) => state.awaited[rank],
    awaitedAlone: () => (progress.isContributed ? onlyPositive(state.awaitedSums) : undefined),
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
  const { chunks } = progress.current!;
  state.owned = chunks.ownedBy(world.rank);
  state.asked = state.owned.start;
  if (peers.length === 0) return [];
  const asks = peers.flatMap((to): ReceiveEffect[] => {
    const leaves = chunks.computedBy(to);
    const results = chunks.ownedBy(to);
    awaited[to] = lengthOf(leaves) + lengthOf(results);
    return [...ask(state, to, 'leaf', leaves), ...ask(state, to, 'gather', results)];
  });
  return [...asks, ...askMore(state)];
}

/** What follows when the last chunk is done, or the last leaf's when it was one of a leaf. */
function completed({ progress }: State, isAboutLeaves = false): ReceiveEffect[] {
  const { step, chunks } = progress.current!;
  const effects: ReceiveEffect[] = [];
  if (isAboutLeaves && chunks.shape.factors > 0 && progress.isGathered)
    effects.push({ kind: 'gathered', step });
  if (progress.isComplete) effects.push({ kind: 'done', step });
  return effects;
}

function lengthOf({ start, end }: Range): number {
  return end - start;
}

function ask(
  { world: { generation }, progress }: State,
  to: Rank,
  phase: PullPhase,
  { start, end }: Range,
): ReceiveEffect[] {
  if (start === end) return [];
  const { step, chunks } = progress.current!;
  const pull: Pull = {
    ...{ generation, step, phase, shape: chunks.shape },
    ...{ firstChunk: start, endChunk: end },
  };
  return [{ kind: 'ask', to, pull }];
}

/** Asks every peer for as many chunks as the window has room for, in few large requests. */
function askMore(state: State): ReceiveEffect[] {
  const { world, progress, open, peers, awaited, awaitedSums } = state;
  const rest = state.owned.end - state.asked;
  const count = Math.min(world.windowChunks - open.size, rest);
  if (count === 0 || (count < rest && count < world.windowChunks / 4)) return [];
  const range = { start: state.asked, end: state.asked + count };
  for (let chunk = range.start; chunk < range.end; chunk++)
    open.set(chunk, ownNodes(world, progress));
  state.asked = range.end;
  return peers.flatMap((to) => {
    const sums = count * world.plan.heldBy[to].length;
    awaited[to] += sums;
    awaitedSums[to] += sums;
    return ask(state, to, 'reduce', range);
  });
}

/** The nodes that are here without a frame: our contributions, as far as they are complete. */
function ownNodes({ plan, rank }: ReductionWorld, progress: StepProgress): Uint8Array {
  const present = new Uint8Array(plan.nodes.length);
  plan.heldBy[rank].forEach((node, i) => (present[node] = progress.hasContribution(i) ? 1 : 0));
  return present;
}

function onContribution(state: State, index: number): ReceiveEffect[] {
  const { world, progress, peers, owned, open } = state;
  progress.setContribution(index);
  if (progress.isComplete) return [];
  if (peers.length === 0) return [...finishAlone(progress, owned), ...completed(state)];
  const node = world.plan.heldBy[world.rank][index];
  const effects = [...open.keys()].flatMap((chunk) => climb(state, chunk, node));
  return [...effects, ...askMore(state), ...completed(state)];
}

/** One worker holds the whole tree: every chunk is finished from its root. */
function finishAlone(progress: StepProgress, { start, end }: Range): ReceiveEffect[] {
  return Array.from({ length: end - start }, (_, i) => {
    progress.setDone(start + i);
    return { kind: 'finish', chunk: start + i, left: 0, right: undefined };
  });
}

function onPublished(state: State, leaf: Leaf): ReceiveEffect[] {
  const { world, progress } = state;
  const { chunks } = progress.current!;
  const own = chunks.computedBy(world.rank);
  const { start, end } = chunks.ofLeaf(leaf);
  if (start < own.start || end > own.end) throw new Error(`leaf ${leaf} of rank ${world.rank}`);
  for (let chunk = start; chunk < end; chunk++) progress.setDone(chunk);
  return start === end ? [] : completed(state, true);
}

function onFrame(state: State, from: Rank, header: FrameHeader): ReceiveEffect[] {
  const { chunk, kind } = header;
  const reason = frameRefusal(state, from, header);
  if (reason !== undefined) return [{ kind: 'refuse', from, reason }];
  state.awaited[from] -= 1;
  if (kind === 'reduce') {
    state.awaitedSums[from] -= 1;
    return [...onSum(state, header), ...completed(state)];
  }
  state.progress.setDone(chunk);
  return [{ kind: 'store', chunk }, ...completed(state, kind === 'leaf')];
}

function onSum(state: State, { chunk, start, end }: FrameHeader): ReceiveEffect[] {
  const node = state.world.plan.find(start, end)!;
  const sums = climb(state, chunk, node);
  return [{ kind: 'hold', chunk, node }, ...sums, ...(sums.length > 0 ? askMore(state) : [])];
}

/** A node is here: it is added to its sibling, that sum to its own, and so on up the tree. */
function climb(state: State, chunk: number, from: NodeIndex): ReceiveEffect[] {
  const { nodes } = state.world.plan;
  const present = state.open.get(chunk)!;
  const effects: ReceiveEffect[] = [];
  for (let node = from; ;) {
    present[node] = 1;
    const parent = nodes[node].parent!;
    const left = nodes[parent].left!;
    const right = nodes[parent].right!;
    if (present[left] === 0 || present[right] === 0) return effects;
    if (parent === 0) {
      state.open.delete(chunk);
      state.progress.setDone(chunk);
      effects.push({ kind: 'finish', chunk, left, right });
      return effects;
    }
    effects.push({ kind: 'add', chunk, node: parent, left, right });
    node = parent;
  }
}

/** Why the frame of `from` is refused; undefined when it is wanted. */
function frameRefusal(state: State, from: Rank, header: FrameHeader): string | undefined {
  const { world, progress } = state;
  const { current } = progress;
  const { kind, generation, step, chunk, bytes } = header;
  if (generation !== world.generation) {
    return `a frame of generation ${generation}; this is generation ${world.generation}`;
  }
  if (current === undefined || progress.isComplete || step !== current.step) {
    return `a frame of step ${step}, which is not under way here`;
  }
  const { chunks } = current;
  if (chunk >= chunks.all.length) return `chunk ${chunk}, beyond the vector`;
  const length = lengthOf(chunks.all[chunk]);
  if (bytes !== length) return `${bytes} bytes for chunk ${chunk} of ${length}`;
  if (kind === 'reduce') return sumRefusal(state, from, header);
  const theirs = kind === 'leaf' ? chunks.computedBy(from) : chunks.ownedBy(from);
  if (chunk < theirs.start || chunk >= theirs.end) {
    const claim = kind === 'leaf' ? 'compute' : 'own';
    return `a result for chunk ${chunk}, which rank ${from} does not ${claim}`;
  }
  return progress.isDone(chunk) ? `the result of chunk ${chunk} twice` : undefined;
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
