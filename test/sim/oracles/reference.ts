// The oracle's trainer: a run written down from its definition, in one loop, without a world, a
// tree of subtrees or anything else of the code that is checked.

import { permute } from '../../../shared/plan/samples.js';
import {
  applyStep,
  leafValue,
  seedState,
  type RunShape,
  type TrainingState,
} from '../training-state.js';

/** Gives the one right state after `step` steps. */
export type Reference = (step: number) => TrainingState;

/** The reference of a run. */
export function createReference(shape: RunShape): Reference {
  const { seed, samples, microShards, microShardSize, chunks } = shape;
  const states = [seedState(shape)];
  const picksOf = (step: number, leaf: number) =>
    Array.from({ length: microShardSize }, (_, i) => {
      const position = (step * microShards + leaf) * microShardSize + i;
      const epoch = Math.floor(position / samples);
      return { epoch, sample: permute(seed, epoch, position % samples, samples) };
    });
  return (wanted) => {
    while (states.length <= wanted) {
      const state = states.at(-1)!;
      const picks = Array.from({ length: microShards }, (_, leaf) => picksOf(state.step, leaf));
      const sum = (from: number, to: number, chunk: number): number => {
        if (to - from === 1) return leafValue(state, from, picks[from], chunk);
        // The left half is the larger one, and float32 additions go from the leaves up.
        const middle = from + Math.ceil((to - from) / 2);
        return Math.fround(sum(from, middle, chunk) + sum(middle, to, chunk));
      };
      const share = Math.fround(1 / microShards);
      const mean = Array.from({ length: chunks }, (_, chunk) =>
        Math.fround(sum(0, microShards, chunk) * share),
      );
      states.push(applyStep(state, mean));
    }
    return states[wanted];
  };
}
