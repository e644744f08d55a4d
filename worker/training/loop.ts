// The training loop: what happens in a step, from top to bottom. It sees micro-shards, flat vectors
// and an all-reduce; who else is in the world, and how sums travel, lies behind `LoopWorld`.

import type { StepReport } from '../../shared/control/messages.js';
import {
  children,
  leavesOf,
  shareOf,
  subtreesInside,
  type TreeNode,
} from '../../shared/plan/reduction.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { Leaf, Rank, Step } from '../../shared/words.js';
import { sumInto } from '../exchange/values.js';
import { letMessagesIn, orAborted } from './failure.js';
import type { Phase } from './phase.js';
import type { PreparedRun } from './prepare.js';
import { commitStep, troubleOf, type Committed } from './update.js';

/** What this worker is doing; its heartbeats carry it. */
type Activity = 'compile' | 'data' | 'compute' | 'exchange' | 'update';

/** The world as the loop sees it. */
export interface LoopWorld {
  readonly rank: Rank;
  readonly worldSize: number;
  /** One vector for each of this rank's subtrees, in their order. */
  readonly contributions: readonly Float32Array[];
  /** Aborted, with an `Aborted`, when the world is given up. */
  readonly signal: AbortSignal;
  /** Averages the contributions over all micro-shards of the world; the reduced vector. */
  allReduce(step: Step, floats: number): Promise<Float32Array>;
  /** Whether this worker votes to stop after the step in progress. */
  votesToStop(): boolean;
  /** Called when the loop turns to something else. */
  onActivity(step: Step, activity: Activity): void;
  /** Called after each commit, before the next step begins. */
  onCommitted(report: StepReport): Promise<void>;
}

/**
 * Trains until `until` is committed, the world has voted to stop, or too many steps in a row were
 * skipped; on all workers of a world after the same step. Rejects when the world is given up,
 * between two micro-shards or while it waits for something.
 */
export async function train(
  { spec, task, local, phases, loader }: PreparedRun,
  world: LoopWorld,
  until: Step,
): Promise<void> {
  const { rank, worldSize, contributions, signal } = world;
  const { state } = local;
  const subtrees = subtreesOfRank(spec, rank, worldSize);
  const sumSubtree = createSubtreeSum();
  loader.start(state.step, leavesOf(shareOf(rank, worldSize, spec.batch.microShards)));

  let isVotedOut = false;
  while (state.step < until && !isVotedOut && troubleOf(state) === '') {
    const { step } = state;
    const clock = createActivityClock((activity) => world.onActivity(step, activity));
    clock.turnTo('compile');
    const phase = await phases.at(step);
    const { layout, vote } = phase.vector;

    const computeMicroShard = async (leaf: Leaf): Promise<Float32Array> => {
      clock.turnTo('data');
      const batch = await orAborted(signal, loader.take(step, leaf));
      await letMessagesIn(signal);
      clock.turnTo('compute');
      const vector = await phase.compute(batch);
      vector[vote] = world.votesToStop() ? 1 : 0;
      return vector;
    };
    for (const [i, subtree] of subtrees.entries())
      await sumSubtree(subtree, contributions[i].subarray(0, layout.size), computeMicroShard);

    clock.turnTo('exchange');
    const mean = await world.allReduce(step, layout.size);

    clock.turnTo('update');
    const committed = commitStep(task, spec, phase, state, mean);
    isVotedOut = mean[vote] > 0;
    await world.onCommitted(reportOf(phase, state.step, mean, clock.seconds(), committed));
  }
}

/** The subtrees that a rank contributes: their leaves are the micro-shards that it computes. */
export function subtreesOfRank(spec: RunSpec, rank: Rank, worldSize: number): TreeNode[] {
  const { microShards } = spec.batch;
  return subtreesInside(shareOf(rank, worldSize, microShards), microShards);
}

/** Computes one leaf's vector, always into the same array. */
type ComputeLeaf = (leaf: Leaf) => Promise<Float32Array>;

/**
 * A function that sums the leaves of `node` into `out`, a vector as long as a leaf's. It adds along
 * the canonical tree, in float32: leaves are computed one after the other, from left to right, and
 * joined as soon as both sides are there. It keeps one scratch vector a level that needs one.
 */
export function createSubtreeSum() {
  const scratch: Float32Array[] = [];
  const sum = async (
    node: TreeNode,
    out: Float32Array,
    computeLeaf: ComputeLeaf,
    depth = 0,
  ): Promise<void> => {
    if (isLeaf(node)) return out.set(await computeLeaf(node.start));
    const [left, right] = children(node);
    await sum(left, out, computeLeaf, depth);
    // A leaf is added where it was computed; only a larger right side needs a place of its own.
    if (isLeaf(right)) return sumInto(out, out, await computeLeaf(right.start));
    if (scratch[depth]?.length !== out.length) scratch[depth] = new Float32Array(out.length);
    const side = scratch[depth];
    await sum(right, side, computeLeaf, depth + 1);
    sumInto(out, out, side);
  };
  return sum;
}

function isLeaf({ start, end }: TreeNode): boolean {
  return end - start === 1;
}

function reportOf(
  phase: Phase,
  step: Step,
  mean: Float32Array,
  seconds: Readonly<Record<Activity, number>>,
  { isSkipped, gradientNorms }: Committed,
): StepReport {
  const { start } = phase.vector.metrics;
  const metrics = [
    ...phase.definition.metrics.map((name, i) => [name, mean[start + i]] as const),
    ...[...gradientNorms].map(([network, norm]) => [`gradient/${network}`, norm] as const),
  ];
  return {
    kind: 'stepReport',
    step,
    phase: phase.spec.name,
    // A loss may have become infinite, which a message can't say.
    metrics: metrics.map(([name, value]) => {
      return { name, value: Number.isFinite(value) ? value : NaN };
    }),
    dataS: seconds.data,
    computeS: seconds.compute + seconds.compile,
    exchangeS: seconds.exchange,
    updateS: seconds.update,
    isSkipped,
  };
}

/** Measures the seconds that are spent on each activity. */
function createActivityClock(onTurn: (activity: Activity) => void) {
  const spent = { compile: 0, data: 0, compute: 0, exchange: 0, update: 0 };
  let activity: Activity | undefined;
  let sinceMs = 0;
  const seconds = (): Readonly<Record<Activity, number>> => {
    const nowMs = performance.now();
    if (activity !== undefined) spent[activity] += (nowMs - sinceMs) / 1000;
    sinceMs = nowMs;
    return spent;
  };
  return {
    turnTo: (next: Activity): void => {
      seconds();
      activity = next;
      onTurn(next);
    },
    seconds,
  };
}
