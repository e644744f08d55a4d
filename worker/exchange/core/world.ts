// What both halves of the core know: the canonical tree of a world as a table, who holds which of
// its nodes, and which chunks of the present step are done. References only, no values.

import {
  chunkCount,
  chunkFloats,
  shareOf,
  children,
  subtreesInside,
  type TreeNode,
} from '../../../shared/plan/reduction.js';
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

/** A world as the core sees it. */
export interface ReductionWorld {
  readonly generation: Generation;
  readonly rank: Rank;
  readonly worldSize: number;
  readonly plan: FoldPlan;
  /** Length of the world's vectors: the largest `floats` of any step. */
  readonly capacity: number;
  /** Chunks whose sums may be incomplete here at one time. */
  readonly windowChunks: number;
}

/** The world of a place, with sums of at most `heldBytes` (but one chunk) held at one time. */
export function reductionWorldOf(
  { world: { generation, members }, rank, microShards }: WorldPlace,
  plan: FoldPlan,
  capacity: number,
  heldBytes: number,
): ReductionWorld {
  const worldSize = members.length;
  if (worldSize > microShards)
    throw new Error(`${worldSize} workers for ${microShards} micro-shards`);
  const foreign = plan.nodes.filter(({ holder }) => holder !== undefined && holder !== rank);
  const chunkBytes = 4 * chunkFloats * Math.max(1, foreign.length);
  const windowChunks = Math.max(1, Math.floor(heldBytes / chunkBytes));
  return { generation, rank, worldSize, plan, capacity, windowChunks };
}

/** A step and the length of the vector in use at it. */
export interface StepLength {
  readonly step: Step;
  readonly floats: number;
}

/** The chunks of the present step that hold reduced values here. */
export interface StepProgress {
  /** The step begun last; undefined before the first. */
  readonly current: StepLength | undefined;
  /** The step before it, which is complete here by definition. */
  readonly previous: StepLength | undefined;
  readonly isComplete: boolean;
  begin(next: StepLength): void;
  isDone(chunk: number): boolean;
  setDone(chunk: number): void;
}

/** The progress of a world that has not begun a step. Steps follow each other by one. */
export function createStepProgress(): StepProgress {
  let current: StepLength | undefined;
  let previous: StepLength | undefined;
  let done = new Uint8Array(0);
  let missing = 0;
  return {
    get current() {
      return current;
    },
    get previous() {
      return previous;
    },
    get isComplete() {
      return missing === 0;
    },
    begin(next) {
      if (missing > 0) throw new Error(`step ${next.step} begun before ${current!.step} is done`);
      if (current !== undefined && next.step !== current.step + 1) {
        throw new Error(`step ${next.step} begun after step ${current.step}`);
      }
      previous = current;
      current = next;
      missing = chunkCount(next.floats);
      done = new Uint8Array(missing);
    },
    isDone: (chunk) => done[chunk] === 1,
    setDone(chunk) {
      if (done[chunk] !== 0) throw new Error(`chunk ${chunk} done twice`);
      done[chunk] = 1;
      missing -= 1;
    },
  };
}
