// Known bugs that can be planted at the simulation's boundary, to see that an oracle finds them.
// Every hook has a sound default, which is what runs when nothing is planted.

import type { CoordinatorEffect, CoordinatorEvent } from '../../coordinator/core/state.js';
import { leavesOf, shareOf } from '../../shared/plan/reduction.js';
import { samplesOf, type SampleOrder, type SamplePick } from '../../shared/plan/samples.js';
import type { WorkerEffect, WorkerEvent } from '../../worker/core/state.js';

/** The world that a worker computes for. */
export interface Place {
  readonly worker: string;
  readonly generation: number;
  readonly rank: number;
  readonly worldSize: number;
  /** Its place in the world before, if it was in one. */
  readonly before: { readonly rank: number; readonly worldSize: number } | undefined;
}

export interface Sabotage {
  /** What becomes of an event before the coordinator's core sees it. */
  coordinatorEvent(event: CoordinatorEvent): CoordinatorEvent[];
  /** What becomes of an effect of the coordinator's core; nothing: it is dropped. */
  coordinatorEffect(effect: CoordinatorEffect): CoordinatorEffect[];
  workerEvent(worker: string, event: WorkerEvent): WorkerEvent[];
  workerEffect(worker: string, effect: WorkerEffect): WorkerEffect[];
  /** The micro-shards that a worker computes for the slots of its share. */
  leaves(place: Place, microShards: number): readonly number[];
  samples(order: SampleOrder, step: number, leaf: number, place: Place): SamplePick[];
  /** Whether a worker writes its vote into the vector, or reads it there. */
  heedsVote(worker: string): boolean;
  /** How often a reduced step is applied. */
  applications(place: Place, isFirstOfWorld: boolean): number;
  /** Whether a donor hands out the state before the one that is asked for. */
  donatesOldState: boolean;
  /** Whether a reduction that was given up is taken for that of the same step in the next world. */
  keepsOldReduction: boolean;
  /** Whether a contribution is called complete, and factors are, before they are computed. */
  announcesEarly: boolean;
  /** Whether a coordinator looks for a later one. */
  looksForSuccessor: boolean;
  /** Whether a coordinator looks whether its own term is still its own. */
  holdsTerm: boolean;
  /** Whether the sums of a checkpoint's parts are looked at. */
  verifiesSums: boolean;
  /** Whether a coordinator that starts deletes checkpoints in the making. */
  discardsAtStart: boolean;
  /** Whether a state is changed before it is stored. */
  spoilsSnapshot(worker: string, step: number): boolean;
}

/** Nothing planted. */
export const sound: Sabotage = {
  coordinatorEvent: (event) => [event],
  coordinatorEffect: (effect) => [effect],
  workerEvent: (_worker, event) => [event],
  workerEffect: (_worker, effect) => [effect],
  leaves: ({ rank, worldSize }, microShards) => leavesOf(shareOf(rank, worldSize, microShards)),
  samples: (order, step, leaf) => samplesOf(order, step, leaf),
  heedsVote: () => true,
  applications: () => 1,
  donatesOldState: false,
  keepsOldReduction: false,
  announcesEarly: false,
  looksForSuccessor: true,
  holdsTerm: true,
  verifiesSums: true,
  discardsAtStart: false,
  spoilsSnapshot: () => false,
};
