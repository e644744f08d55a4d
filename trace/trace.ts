// Traces a TF.js function into a step graph: the function runs once on a backend that records
// kernels instead of running them.

import type { TensorSpec } from '../shared/flat/layout.js';
import type { NamedTensors } from '../task/task.js';
import type { StepGraph } from './step-graph.js';

/** Runs `f` on placeholders of the given names and shapes and returns what it did. */
export function trace(inputs: readonly TensorSpec[], f: (inputs: NamedTensors) => NamedTensors): StepGraph {
  void inputs, f;
  throw new Error('not written yet');
}
