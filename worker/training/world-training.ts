// A world's training: ties the training loop to the vectors, reductions, reports and checkpoints
// of one world.

import type { Step } from '../../shared/words.js';
import type { WorldVectors } from '../network/ports.js';
import type { Cancellation } from './cancellation.js';
import { createCommitReports } from './commit-reports.js';
import { createKeeping } from './keeping.js';
import type { PreparedRun } from './prepare.js';
import type { SendToNetwork } from './prepare-request.js';
import { createReductions } from './reductions.js';
import type { Enter } from './take-state.js';
import { shareOfRank, train, type TrainerPorts } from './trainer.js';

export interface WorldTraining {
  readonly vectors: WorldVectors;
  /** Trains until `until` is committed, or no step may follow; rejects when it is given up. */
  train(until: Step, cancellation: Cancellation): Promise<void>;
  /** Stores a share of the state; rank 0 judges it as well. */
  finish(
    last: { readonly step: Step; readonly share: number; readonly shares: number },
    cancellation: Cancellation,
  ): Promise<void>;
  /** Tells the last committed step's report again. */
  tellLast(): void;
  voteStop(): void;
  reduced(step: Step): void;
}

/** Creates the training of the world that `order` told this worker to enter. */
export function createWorldTraining(
  run: PreparedRun,
  order: Enter,
  send: SendToNetwork,
): WorldTraining {
  const { spec, task, phases, loader } = run;
  const { generation, rank, worldSize } = order;
  const { state } = run.own;
  const subtrees = shareOfRank(spec, rank, worldSize).length;
  const { contributions, results } = run.vectors.take(subtrees, worldSize);
  const reductions = createReductions(send);
  const reports = createCommitReports(run.own, order, send);
  const onActivity = (step: Step, activity: string): void =>
    send({ kind: 'activity', step, activity });
  // All tell it, also those that store no part: a checkpoint is of a state that all have.
  const onSnapshot = (step: Step, value: string): void =>
    send({ kind: 'tell', message: { kind: 'digest', generation, step, value, isWhole: true } });
  const keeping = createKeeping(run, order, () => onActivity(state.step, 'store'), onSnapshot);
  let votesToStop = false;

  const portsFor = (until: Step, cancellation: Cancellation): TrainerPorts => ({
    orAborted: cancellation.orAborted,
    letMessagesIn: cancellation.letMessagesIn,
    allReduce: async (step, floats) => {
      await cancellation.orAborted(reductions.reduce(step, floats));
      return results[step % 2];
    },
    onActivity,
    onCommitted: async (committed) => {
      reports.committed(committed);
      await keeping.keepUp(until, cancellation);
    },
    votesToStop: () => votesToStop,
  });
  return {
    vectors: { microShards: spec.batch.microShards, contributions, results },
    train: (until, cancellation) => {
      const ports = portsFor(until, cancellation);
      const world = { rank, worldSize, contributions, until, ports };
      return train({ spec, task, state, phases, loader, ...world });
    },
    finish: ({ step, share, shares }, cancellation) => {
      if (state.step !== step) throw new Error(`to finish step ${step} at step ${state.step}`);
      return keeping.finish(share, shares, cancellation);
    },
    tellLast: reports.tellLast,
    voteStop: () => {
      votesToStop = true;
    },
    reduced: reductions.reduced,
  };
}
