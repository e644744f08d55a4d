// All oracles of a simulated cluster, each with books of its own.

import type { Oracle } from '../facts.js';
import type { RunShape } from '../training-state.js';
import { createBoundsOracle } from './bounds.js';
import { createCheckpointOracle } from './checkpoints.js';
import { createFencingOracle } from './fencing.js';
import { createProgressOracle } from './progress.js';
import { createReference } from './reference.js';
import { createSampleOracle } from './samples.js';
import { createStateOracle } from './states.js';
import { createWitnessOracle, type Truth } from './witnesses.js';

/** The oracles of one run. */
export function createOracles(shape: RunShape, truth: Truth): readonly Oracle[] {
  const reference = createReference(shape);
  return [
    createStateOracle(reference),
    createSampleOracle(shape),
    createFencingOracle(),
    createCheckpointOracle(reference, shape),
    createWitnessOracle(truth),
    createBoundsOracle(shape),
    createProgressOracle(shape.lastStep),
  ];
}
