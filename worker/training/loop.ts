// The training loop: what happens in a step, from top to bottom. It sees micro-shards, flat vectors
// and their exchange; who else is in the world, and how sums travel, lies behind `LoopWorld`.

import type { StepReport } from '../../shared/control/messages.js';
import { leavesOf, shareOf, subtreesInside, type TreeNode } from '../../shared/plan/reduction.js';
import type { StepShape } from '../../shared/plan/step-vector.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { Leaf, Rank, Step } from '../../shared/words.js';
import { letMessagesIn, orAborted } from './failure.js';
import type { StepSpans } from '../step-trace/step-recorder.js';
import type { Phase } from './phase.js';
import type { PreparedRun } from './prepare.js';
import type { NextLeaf, StepVectors } from './step-vectors.js';
import { commitStep, troubleOf, type Committed } from './update.js';

/** What this worker is doing; its heartbeats carry it. */
type Activity = 'compile' | 'data' | 'compute' | 'exchange' | 'update';

/** The world as the loop sees it. */
export interface LoopWorld {
  readonly rank: Rank;
  readonly worldSize: number;
  /** What this rank sums, and what comes of it. */
  readonly vectors: StepVectors;
  /** Aborted, with an `Aborted`, when the world is given up. */
  readonly signal: AbortSignal;
  /** Begins the exchange of a step, of which nothing is computed yet. */
  begin(step: Step, shape: StepShape): void;
  /** The factors of a micro-shard of ours are in the result. */
  publish(step: Step, leaf: Leaf): void;
  /** Contribution `index` is complete: it may leave while others are computed. */
  contribute(step: Step, index: number): void;
  /** Waits until the result has the factors of all micro-shards. */
  gathered(step: Step): Promise<void>;
  /** Waits until the result has the contributions' average over all micro-shards as well. */
  reduced(step: Step): Promise<void>;
  /** Whether this worker votes to stop after the step in progress. */
  votesToStop(): boolean;
  /** What hears of a step that begins; undefined unless it is traced. */
  recordStep(step: Step): StepSpans | undefined;
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
  { spec, local, phases, loader, devices }: PreparedRun,
  world: LoopWorld,
  until: Step,
): Promise<void> {
  const { rank, worldSize, vectors, signal } = world;
  const subtrees = subtreesOfRank(spec, rank, worldSize);
  const leaves = leavesOfRank(spec, rank, worldSize);
  loader.start(local.counters.step, leaves);

  let isVotedOut = false;
  while (local.counters.step < until && !isVotedOut && troubleOf(local.counters) === '') {
    const { step } = local.counters;
    const spans = world.recordStep(step);
    const clock = createActivityClock((activity) => world.onActivity(step, activity), spans);
    clock.turnTo('compile');
    const phase = await phases.at(step);
    const { shape, vote } = phase.vector;
    const result = vectors.resultOf(step, phase);
    world.begin(step, shape);

    const computeMicroShard = async (leaf: Leaf, device: number): Promise<Float32Array> => {
      clock.turnTo('data', leaf, device);
      const batch = await orAborted(signal, loader.take(step, leaf));
      await letMessagesIn(signal);
      clock.turnTo('compute', leaf, device);
      const vector = await phase.compute(batch, device);
      spans?.rest(device);
      vector[vote] = world.votesToStop() ? 1 : 0;
      if (shape.factors > 0) {
        result.storeFactors(leaf, vector);
        world.publish(step, leaf);
      }
      return vector;
    };
    await computeAhead(leaves, devices, computeMicroShard, async (nextLeaf) => {
      for (const [i, subtree] of subtrees.entries()) {
        await vectors.sumSubtree(i, subtree, phase, nextLeaf);
        world.contribute(step, i);
      }
    });

    clock.turnTo('exchange');
    if (shape.factors > 0) {
      // The factors are few, and multiplied while the sums still travel.
      await world.gathered(step);
      clock.turnTo('update');
      await phase.multiply(result.factors);
      clock.turnTo('exchange');
    }
    await world.reduced(step);

    clock.turnTo('update');
    const committed = await commitStep(spec, phase, local.counters, result.means);
    local.counters = committed.counters;
    const { exact } = result.means;
    isVotedOut = exact[vote] > 0;
    await world.onCommitted(reportOf(phase, exact, clock.seconds(), committed));
  }
}

/** The micro-shards that a rank computes. */
export function leavesOfRank({ batch }: RunSpec, rank: Rank, worldSize: number): Leaf[] {
  return leavesOf(shareOf(rank, worldSize, batch.microShards));
}

/** The subtrees that a rank contributes: their leaves are the micro-shards that it computes. */
export function subtreesOfRank(spec: RunSpec, rank: Rank, worldSize: number): TreeNode[] {
  const { microShards } = spec.batch;
  return subtreesInside(shareOf(rank, worldSize, microShards), microShards);
}

/** Computes one leaf's vector on a device, always into the same array of the device. */
type ComputeLeaf = (leaf: Leaf, device: number) => Promise<Float32Array>;

/**
 * Has leaves computed in their order and ahead of who takes them: one on each device at a time.
 * Whatever comes of `take`, nothing is computed any more when it ends.
 */
export async function computeAhead(
  leaves: readonly Leaf[],
  devices: number,
  computeLeaf: ComputeLeaf,
  take: (nextLeaf: NextLeaf) => Promise<void>,
): Promise<void> {
  const underWay: Promise<Float32Array>[] = [];
  let started = 0;
  const nextLeaf: NextLeaf = () => {
    // The vector given last is used up: its device is free.
    while (underWay.length < devices && started < leaves.length) {
      const vector = computeLeaf(leaves[started], started % devices);
      // Nobody may be waiting for it any more when it fails.
      vector.catch(() => undefined);
      underWay.push(vector);
      started += 1;
    }
    const [first] = underWay.splice(0, 1);
    return first;
  };
  try {
    await take(nextLeaf);
  } finally {
    await Promise.allSettled(underWay);
  }
}

function reportOf(
  phase: Phase,
  exact: Float32Array,
  seconds: Readonly<Record<Activity, number>>,
  { counters: { step }, isSkipped, gradientNorms }: Committed,
): StepReport {
  const { start } = phase.vector.metrics;
  const metrics = [
    ...phase.definition.metrics.map((name, i) => [name, exact[start + i]] as const),
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
function createActivityClock(onTurn: (activity: Activity) => void, spans: StepSpans | undefined) {
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
    turnTo: (next: Activity, leaf?: Leaf, device?: number): void => {
      seconds();
      activity = next;
      spans?.turn(next, leaf, device);
      onTurn(next);
    },
    seconds,
  };
}
