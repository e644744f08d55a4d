// All oracles of a simulation, each with books of its own.

import type { Oracle } from '../facts.js';
import type { RunShape } from '../training-state.js';
import {
  createBoundsOracle,
  createFencingOracle,
  createProgressOracle,
  createWitnessOracle,
  type Truth,
} from './protocol.js';
import { createReference } from './reference.js';
import { createCheckpointOracle, createSampleOracle, createStateOracle } from './training.js';

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
