// The canonical tree of a world as a table: which node joins which, and which rank holds the
// nodes that are not joined from others. Arithmetic over (worldSize, M) alone.

import type { Leaf, Rank } from '../../shared/words.js';
import { shareOf, children, subtreesInside, type TreeNode } from '../../shared/plan/reduction.js';

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
