// The training loop. It sees micro-shards, flat vectors and an all-reduce; who else is in the
// world, and how sums travel, is not its business.

import type { TrainingState } from '../../shared/checkpoint/state.js';
import { leavesOf, shareOf, subtreesInside, type TreeNode } from '../../shared/plan/reduction.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { Rank, Step } from '../../shared/words.js';
import type { Task } from '../../task/task.js';
import type { Loader } from '../data/loader.js';
import type { Cancellation } from './cancellation.js';
import type { Phase, Phases } from './phase.js';
import { createSubtreeSums } from './subtrees.js';
import { commitStep, troubleOf } from './update.js';

/** What this worker is doing; told with its heartbeats. */
export type Activity = 'compile' | 'data' | 'compute' | 'exchange' | 'update';

/** What one committed step was like; seconds are this worker's own. */
export interface CommittedStep {
  /** Steps committed so far, this one included. */
  readonly step: Step;
  readonly phase: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly seconds: Readonly<Record<Activity, number>>;
  /** Nothing was applied: gradients were not finite. */
  readonly isSkipped: boolean;
}

/** The trainer's surroundings: effects it asks for. All reject when the world is given up. */
export interface TrainerPorts extends Pick<Cancellation, 'orAborted' | 'letMessagesIn'> {
  /** Averages the contributions over all micro-shards of the world; the reduced vector. */
  allReduce(step: Step, floats: number): Promise<Float32Array>;
  /** Called when the trainer turns to something else. */
  onActivity(step: Step, activity: Activity): void;
  /** Called after each commit, before the next step begins. */
  onCommitted(committed: CommittedStep): Promise<void>;
  /** Whether this worker votes to stop after the step in progress. */
  votesToStop(): boolean;
}

export interface TrainerOptions {
  readonly task: Task;
  readonly spec: RunSpec;
  readonly state: TrainingState;
  readonly phases: Phases;
  readonly loader: Loader;
  readonly rank: Rank;
  readonly worldSize: number;
  /** One vector for each subtree of this rank's share, in their order. */
  readonly contributions: readonly Float32Array[];
  readonly until: Step;
  readonly ports: TrainerPorts;
}

/** The subtrees that a rank contributes, and the leaves it computes. */
export function shareOfRank(spec: RunSpec, rank: Rank, worldSize: number): TreeNode[] {
  const { microShards } = spec.batch;
  return subtreesInside(shareOf(rank, worldSize, microShards), microShards);
}

/**
 * Trains until `until` is committed, the world has voted to stop, or too many steps in a row were
 * skipped; on all workers of a world after the same step. Rejects when the world is given up,
 * between two micro-shards or while it waits for something.
 */
export async function train(options: TrainerOptions): Promise<void> {
  const { spec, state, phases, loader, rank, worldSize, contributions, ports, until } = options;
  const subtrees = shareOfRank(spec, rank, worldSize);
  const sums = createSubtreeSums(contributions[0]?.length ?? 0);
  loader.start(state.step, leavesOf(shareOf(rank, worldSize, spec.batch.microShards)));

  let isVotedOut = false;
  while (state.step < until && !isVotedOut && troubleOf(state) === '') {
    const clock = createActivityClock(state.step, ports);
    clock.turnTo('compile');
    const phase = await phases.at(state.step);
    const floats = phase.vector.layout.size;

    const computeLeaf = async (leaf: number): Promise<Float32Array> => {
      clock.turnTo('data');
      const batch = await ports.orAborted(loader.take(state.step, leaf));
      await ports.letMessagesIn();
      clock.turnTo('compute');
      const vector = await phase.compute(batch);
      vector[floats - 1] = ports.votesToStop() ? 1 : 0;
      return vector;
    };
    for (const [i, subtree] of subtrees.entries())
      await sums.sum(subtree, floats, contributions[i], computeLeaf);

    clock.turnTo('exchange');
    const mean = await ports.allReduce(state.step, floats);

    clock.turnTo('update');
    const isSkipped = commitStep(options.task, spec, phase, state, mean) === 'skipped';
    isVotedOut = mean[floats - 1] > 0;
    const committed = describe(phase, state.step, mean);
    await ports.onCommitted({ ...committed, isSkipped, seconds: clock.seconds() });
  }
}

function describe(
  phase: Phase,
  step: Step,
  mean: Float32Array,
): Pick<CommittedStep, 'step' | 'phase' | 'metrics'> {
  const { start } = phase.vector.metrics;
  const metrics = phase.definition.metrics.map((name, i) => [name, mean[start + i]] as const);
  return { step, phase: phase.spec.name, metrics: Object.fromEntries(metrics) };
}

interface ActivityClock {
  turnTo(activity: Activity): void;
  /** Seconds spent on each activity up to now. */
  seconds(): Record<Activity, number>;
}

function createActivityClock(step: Step, ports: TrainerPorts): ActivityClock {
  const spent: Record<Activity, number> = {
    compile: 0,
    data: 0,
    compute: 0,
    exchange: 0,
    update: 0,
  };
  let [now, since]: [Activity | undefined, number] = [undefined, performance.now()];
  const turnTo = (activity: Activity | undefined): void => {
    const ms = performance.now();
    if (now !== undefined) spent[now] += (ms - since) / 1000;
    [now, since] = [activity, ms];
  };
  return {
    turnTo: (activity) => {
      turnTo(activity);
      ports.onActivity(step, activity);
    },
    seconds: () => {
      turnTo(now);
      return { ...spent };
    },
  };
}
