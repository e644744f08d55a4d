// The words of the core: what one worker asks of another, and what a world is to the core.

import type { Generation, Rank, Step } from '../../shared/words.js';
import type { FoldPlan } from './fold-plan.js';

/** Sums for the chunks the asker owns, or reduced chunks that the asked one owns. */
export type Phase = 'reduce' | 'gather';

/** A request for the chunks [firstChunk, endChunk) of one step and phase. */
export interface Pull {
  readonly generation: Generation;
  readonly step: Step;
  readonly phase: Phase;
  readonly firstChunk: number;
  readonly endChunk: number;
  /** Length of the vector in use at this step. */
  readonly floats: number;
}

/** What both halves of the core know of their world. */
export interface CoreWorld {
  readonly generation: Generation;
  readonly rank: Rank;
  readonly worldSize: number;
  readonly plan: FoldPlan;
  /** Length of the world's vectors: the largest `floats` of any step. */
  readonly capacity: number;
  /** Chunks whose sums may be incomplete here at one time. */
  readonly windowChunks: number;
}
