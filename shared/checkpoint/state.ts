// The state of a run between two steps, and how it is cut into the parts of a checkpoint.
// Parts do not depend on the number of workers, which share the upload.

import type { Step } from '../words.js';

/** One network's state: parameters, Adam's moments (same layout), updates applied so far. */
export interface NetworkState {
  readonly parameters: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  readonly statistics: Float32Array;
  updates: number;
}

/** The whole state; `step` updates of the run are committed in it. */
export interface TrainingState {
  step: Step;
  readonly networks: Readonly<Record<string, NetworkState>>;
  /** Steps in a row, up to this one, that were skipped: their gradients were not finite. */
  skippedInARow: number;
}
