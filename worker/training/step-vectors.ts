// The vectors of a world's steps in the memory of the exchange, as the compute thread uses them: it
// sums its micro-shards there, stores their factors, and reads what came of all. A sum is taken
// along the canonical tree; with bfloat16 every node of it is rounded, micro-shards included.

import { children, type Range, type TreeNode } from '../../shared/plan/reduction.js';
import {
  placesOf,
  valueBytes,
  type ExchangePrecision,
  type VectorPlaces,
} from '../../shared/plan/step-vector.js';
import type { Leaf, Step } from '../../shared/words.js';
import type { ExchangedValues, StepMeans } from '../engine/engine.js';
import type { ExchangeMemory, Place } from '../exchange/memory.js';
import type { WorldVectors } from '../network/ports.js';
import { sectionsOf, type StepPlan } from './step-plan.js';
import { mayOverflow } from './update.js';

/** Gives the vectors of leaves one after the other, each good until the next call. */
export type NextLeaf = () => Promise<Float32Array>;

/** What comes of a step: views of memory where it is there, or will be. */
export interface StepResult {
  readonly means: StepMeans;
  /** Of all leaves, in leaf order. */
  readonly factors: readonly ExchangedValues[];
  /** Stores the factors of a leaf, whose vector is laid out by the step's plan. */
  storeFactors(leaf: Leaf, vector: Float32Array): void;
}

export interface StepVectors {
  /**
   * Sums the leaves of `node` into contribution `index`: `nextLeaf` gives their vectors from left
   * to right, and they are joined as soon as both sides are there. In the pass over a leaf's
   * gradients it finds out whether they may overflow, which the leaf's vector then says.
   */
  sumSubtree(index: number, node: TreeNode, plan: StepPlan, nextLeaf: NextLeaf): Promise<void>;
  resultOf(step: Step, plan: StepPlan): StepResult;
}

/** Places for sums that no world's vectors are: they are taken once, and for good. */
export interface Workspace {
  readonly memory: ExchangeMemory;
  /** Values of a leaf on their way into a sum. */
  readonly block: Place;
  /** A vector for each level of the tree that needs one. */
  scratch(depth: number): Place;
}

/** Values of a leaf that pass through the block at a time: they stay in the processor's cache. */
const blockFloats = 16 * 1024;

/** A workspace for vectors of so many bytes. */
export function createWorkspace(memory: ExchangeMemory, contributionBytes: number): Workspace {
  const places: Place[] = [];
  return {
    memory,
    block: memory.allocate(valueBytes.float32 * blockFloats),
    scratch: (depth) => (places[depth] ??= memory.allocate(contributionBytes)),
  };
}

/** The vectors of a world. */
export function createStepVectors(workspace: Workspace, vectors: WorldVectors): StepVectors {
  const { contributions, results, precision, microShards } = vectors;
  const { memory } = workspace;
  const sums = createSums(workspace, precision);

  async function sum(
    node: TreeNode,
    out: Place,
    plan: StepPlan,
    nextLeaf: NextLeaf,
    depth = 0,
  ): Promise<void> {
    const places = placesOf(plan.vector.shape, precision, microShards);
    const take = async (pass: Pass): Promise<void> => {
      const leaf = await nextLeaf();
      const { gradients, exact } = sectionsOf(plan.vector.shape, leaf);
      const squares = sums.take(pass, out + places.gradients.start, gradients, precision);
      exact[plan.vector.notFinite] = mayOverflow(plan, leaf, squares, microShards) ? 1 : 0;
      sums.take(pass, out + places.exact.start, exact, 'float32');
    };
    if (isLeaf(node)) return take('put');
    const [left, right] = children(node);
    await sum(left, out, plan, nextLeaf, depth);
    // A leaf is added as it comes; only a larger right side needs a place of its own.
    if (isLeaf(right)) return take('add');
    const side = workspace.scratch(depth);
    await sum(right, side, plan, nextLeaf, depth + 1);
    sums.join(out, side, places);
  }

  return {
    sumSubtree: (index, node, plan, nextLeaf) => sum(node, contributions[index], plan, nextLeaf),
    resultOf: (step, plan) => {
      const start = results[step % 2];
      const { exact, gradients, leaves } = placesOf(plan.vector.shape, precision, microShards);
      const view = (range: Range, width: ExchangePrecision) =>
        valuesIn(memory, start, range, width);
      return {
        means: {
          exact: view(exact, 'float32') as Float32Array,
          gradients: view(gradients, precision),
        },
        factors: leaves.map((range) => view(range, precision)),
        storeFactors: (leaf, vector) => {
          const { factors } = sectionsOf(plan.vector.shape, vector);
          sums.take('put', start + leaves[leaf].start, factors, precision);
        },
      };
    },
  };
}

function isLeaf({ start, end }: TreeNode): boolean {
  return end - start === 1;
}

function valuesIn(
  { shared }: ExchangeMemory,
  vector: Place,
  { start, end }: Range,
  precision: ExchangePrecision,
): ExchangedValues {
  const [at, count] = [vector + start, (end - start) / valueBytes[precision]];
  if (precision === 'float32') return new Float32Array(shared.buffer, at, count);
  return new Uint16Array(shared.buffer, at, count);
}

/** What becomes of a leaf's values: the sum, or a part of it. */
type Pass = 'put' | 'add';

/** The passes over values, by the kernels on the workspace's memory. */
function createSums({ memory, block }: Workspace, precision: ExchangePrecision) {
  const { put32, put16, add32, add16, sum32, sum16 } = memory.kernel;
  const passes = {
    put: { float32: put32, bfloat16: put16 },
    add: { float32: add32, bfloat16: add16 },
  };
  const values = memory.floats(block, blockFloats);
  const joinGradients = precision === 'float32' ? sum32 : sum16;
  return {
    /** Takes values, which no thread shares, to `out`; gives the sum of their squares. */
    take: (pass: Pass, out: Place, from: Float32Array, width: ExchangePrecision): number => {
      const kernel = passes[pass][width];
      let squares = 0;
      for (let at = 0; at < from.length; at += blockFloats) {
        const count = Math.min(blockFloats, from.length - at);
        values.set(from.subarray(at, at + count));
        values.fill(0, count, Math.min(blockFloats, count + 8));
        squares += kernel(out + valueBytes[width] * at, block, count);
      }
      return squares;
    },
    /** out = out + side, for the sums of whole vectors. */
    join: (out: Place, side: Place, { exact, gradients }: VectorPlaces): void => {
      const count = ({ start, end }: Range, width: ExchangePrecision) =>
        (end - start) / valueBytes[width];
      const [a, g] = [exact.start, gradients.start];
      sum32(out + a, out + a, side + a, count(exact, 'float32'));
      joinGradients(out + g, out + g, side + g, count(gradients, precision));
    },
  };
}
