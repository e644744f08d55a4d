// What both halves of the core know: the canonical tree of a world as a table, who holds which of
// its nodes, whose chunk is which, and what is here of the present step. References, no values.

import {
  shareOf,
  children,
  subtreesInside,
  type Range,
  type TreeNode,
} from '../../../shared/plan/reduction.js';
import {
  chunkBytes,
  chunksOf,
  equalStepShapes,
  placesOf,
  type Chunk,
  type StepShape,
} from '../../../shared/plan/step-vector.js';
import type { Generation, Leaf, Rank, Step } from '../../../shared/words.js';
import type { WorldPlace } from './messages.js';

/** Index of a node in the plan; 0 is the root. */
export type NodeIndex = number;

/** A node of the tree. `left` and `right` are undefined where a rank holds the node's sum. */
export interface FoldNode extends TreeNode {
  readonly parent: NodeIndex | undefined;
  readonly left: NodeIndex | undefined;
  readonly right: NodeIndex | undefined;
  /** The rank that holds the node's sum as a contribution; undefined for joined nodes. */
  readonly holder: Rank | undefined;
}

export interface FoldPlan {
  /** Parents before children. */
  readonly nodes: readonly FoldNode[];
  /** For each rank the nodes it holds, left to right: the order of its contributions. */
  readonly heldBy: readonly (readonly NodeIndex[])[];
  /** The node that covers exactly the leaves [start, end), if the plan has one. */
  find(start: Leaf, end: Leaf): NodeIndex | undefined;
}

/** The plan of a world; every rank must have a leaf (1 <= worldSize <= microShards). */
export function createFoldPlan(worldSize: number, microShards: number): FoldPlan {
  const holders = new Map<string, Rank>();
  for (let rank = 0; rank < worldSize; rank++) {
    const held = subtreesInside(shareOf(rank, worldSize, microShards), microShards);
    for (const node of held) holders.set(keyOf(node.start, node.end), rank);
  }
  const nodes = listNodes({ start: 0, end: microShards }, holders);
  const byKey = new Map(nodes.map((node, index) => [keyOf(node.start, node.end), index]));
  return {
    nodes,
    heldBy: Array.from({ length: worldSize }, (_, rank) => heldBy(nodes, rank)),
    find: (start, end) => byKey.get(keyOf(start, end)),
  };
}

function keyOf(start: Leaf, end: Leaf): string {
  return `${start}:${end}`;
}

function listNodes(root: TreeNode, holders: ReadonlyMap<string, Rank>): FoldNode[] {
  const nodes: FoldNode[] = [];
  const visit = (node: TreeNode, parent: NodeIndex | undefined): NodeIndex => {
    const index = nodes.length;
    const holder = holders.get(keyOf(node.start, node.end));
    nodes.push({ ...node, parent, holder, left: undefined, right: undefined });
    if (holder === undefined) {
      const [left, right] = children(node).map((child) => visit(child, index));
      nodes[index] = { ...node, parent, holder, left, right };
    }
    return index;
  };
  visit(root, undefined);
  return nodes;
}

function heldBy(nodes: readonly FoldNode[], rank: Rank): NodeIndex[] {
  return nodes
    .flatMap((node, index) => (node.holder === rank ? [index] : []))
    .sort((a, b) => nodes[a].start - nodes[b].start);
}

/** The chunks of a step, and whose they are. Numbered through: sums first, then leaves. */
export interface StepChunks {
  readonly shape: StepShape;
  readonly all: readonly Chunk[];
  /** How many of them are summed. */
  readonly sums: number;
  /** The sums that a rank owns: it finishes them. */
  ownedBy(rank: Rank): Range;
  /** The factors of the leaves that a rank computes. */
  computedBy(rank: Rank): Range;
  /** The factors of a leaf. */
  ofLeaf(leaf: Leaf): Range;
}

/** The longest vectors of a world, in bytes. */
export interface VectorLengths {
  readonly contributionBytes: number;
  readonly resultBytes: number;
}

/** A world as the core sees it. */
export interface ReductionWorld {
  readonly generation: Generation;
  readonly rank: Rank;
  readonly worldSize: number;
  readonly plan: FoldPlan;
  /** Chunks whose sums may be incomplete here at one time. */
  readonly windowChunks: number;
  /** How many steps ahead of ours a request may be, which then waits. */
  readonly stepsAhead: number;
  /** The chunks of a step; undefined where it does not fit into the world's vectors. */
  chunksOf(shape: StepShape): StepChunks | undefined;
}

/** The world of a place, with sums of at most `heldBytes` (but one chunk) held at one time. */
export function reductionWorldOf(
  place: WorldPlace & VectorLengths,
  plan: FoldPlan,
  heldBytes: number,
): ReductionWorld {
  const { world, rank, microShards, lanes } = place;
  const worldSize = world.members.length;
  if (worldSize > microShards)
    throw new Error(`${worldSize} workers for ${microShards} micro-shards`);
  const foreign = plan.nodes.filter(({ holder }) => holder !== undefined && holder !== rank);
  const sumsBytes = chunkBytes * Math.max(1, foreign.length);
  return {
    ...{ generation: world.generation, rank, worldSize, plan },
    windowChunks: Math.max(1, Math.floor(heldBytes / sumsBytes)),
    // Lanes take note of a step one after the other, and one that has no chunks keeps nobody back.
    stepsAhead: lanes > 1 ? 2 : 1,
    chunksOf: createChunkTables(place),
  };
}

/** Shapes whose chunks are kept: a run has as many as its phases have kinds of steps. */
const keptTables = 8;

function createChunkTables(place: WorldPlace & VectorLengths): ReductionWorld['chunksOf'] {
  const { precision, microShards, contributionBytes, resultBytes } = place;
  const tables: StepChunks[] = [];
  return (shape) => {
    const known = tables.find((table) => equalStepShapes(table.shape, shape));
    if (known !== undefined || shape.exact < 1) return known;
    const places = placesOf(shape, precision, microShards);
    if (places.contributionBytes > contributionBytes || places.resultBytes > resultBytes)
      return undefined;
    const table = stepChunks(place, shape);
    if (tables.push(table) > keptTables) tables.shift();
    return table;
  };
}

function stepChunks(
  { world, microShards, precision, lane, lanes }: WorldPlace,
  shape: StepShape,
): StepChunks {
  const { sums, leaves } = chunksOf(shape, precision, microShards, lane, lanes);
  const worldSize = world.members.length;
  /** The number of the first chunk that is of a leaf or of a later one. */
  const firsts: number[] = [];
  for (let leaf = 0, next = 0; leaf <= microShards; leaf++) {
    while (next < leaves.length && leaves[next].leaf! < leaf) next += 1;
    firsts.push(sums.length + next);
  }
  return {
    shape,
    all: [...sums, ...leaves],
    sums: sums.length,
    ownedBy: (rank) => shareOf(rank, worldSize, sums.length),
    computedBy: (rank) => {
      const { start, end } = shareOf(rank, worldSize, microShards);
      return { start: firsts[start], end: firsts[end] };
    },
    ofLeaf: (leaf) => ({ start: firsts[leaf], end: firsts[leaf + 1] }),
  };
}

/** A step that was begun, and its chunks. */
export interface BegunStep {
  readonly step: Step;
  readonly chunks: StepChunks;
}

/** What is here of the present step. */
export interface StepProgress {
  /** The step begun last; undefined before the first. */
  readonly current: BegunStep | undefined;
  /** The step before it, which is complete here by definition. */
  readonly previous: BegunStep | undefined;
  /** Whether all chunks are done. */
  readonly isComplete: boolean;
  /** Whether the factors of all leaves are here. */
  readonly isGathered: boolean;
  /** Whether all of our contributions are here. */
  readonly isContributed: boolean;
  begin(next: BegunStep): void;
  /** Whether a chunk has its result: reduced values, or a leaf's factors. */
  isDone(chunk: number): boolean;
  setDone(chunk: number): void;
  hasContribution(index: number): boolean;
  setContribution(index: number): void;
}

/** The progress of a world that has not begun a step. Steps follow each other by one. */
export function createStepProgress(contributions: number): StepProgress {
  let current: BegunStep | undefined;
  let previous: BegunStep | undefined;
  let done = new Uint8Array(0);
  let missing = { chunks: 0, leaves: 0, contributions: 0 };
  const contributed = new Uint8Array(contributions);
  return {
    get current() {
      return current;
    },
    get previous() {
      return previous;
    },
    get isComplete() {
      return missing.chunks === 0;
    },
    get isGathered() {
      return missing.leaves === 0;
    },
    get isContributed() {
      return missing.contributions === 0;
    },
    begin(next) {
      if (missing.chunks > 0)
        throw new Error(`step ${next.step} begun before ${current!.step} is done`);
      if (current !== undefined && next.step !== current.step + 1) {
        throw new Error(`step ${next.step} begun after step ${current.step}`);
      }
      previous = current;
      current = next;
      const { all, sums } = next.chunks;
      missing = { chunks: all.length, leaves: all.length - sums, contributions };
      done = new Uint8Array(all.length);
      contributed.fill(0);
    },
    isDone: (chunk) => done[chunk] === 1,
    setDone(chunk) {
      if (done[chunk] !== 0) throw new Error(`chunk ${chunk} done twice`);
      done[chunk] = 1;
      missing.chunks -= 1;
      if (chunk >= current!.chunks.sums) missing.leaves -= 1;
    },
    hasContribution: (index) => contributed[index] === 1,
    setContribution(index) {
      if (contributed[index] !== 0) throw new Error(`contribution ${index} twice, or of nobody`);
      contributed[index] = 1;
      missing.contributions -= 1;
    },
  };
}
