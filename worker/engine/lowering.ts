// From a TF.js function to what an engine runs, by trace and lowering.

import type { TensorSpec } from '../../shared/layout.js';
import { OperatorError } from '../../shared/problems.js';
import type { EngineName } from '../../shared/spec/schema.js';
import { withFactors } from '../../trace/factors.js';
import { UnknownKernel, type StepGraph } from '../../trace/step-graph.js';
import { trace, type TensorFunction } from '../../trace/trace.js';

/**
 * Traces and lowers `f`, with two factors in the place of each output that is named in `factored`;
 * a kernel that is not known becomes a problem of the spec's engine.
 */
export function traceAndLower<T>(
  engine: EngineName,
  inputs: readonly TensorSpec[],
  f: TensorFunction,
  lower: (graph: StepGraph) => T,
  factored: readonly string[] = [],
): T {
  try {
    return lower(withFactors(trace(inputs, f), factored));
  } catch (error) {
    if (!(error instanceof UnknownKernel)) throw error;
    const allowed = 'tensorflow-eager, which is slow and needs no lowering';
    throw new OperatorError('the engine can not run this task', [
      { key: 'engine.name', given: engine, allowed, hint: error.message },
    ]);
  }
}
