// From a TF.js function to what an engine runs, by trace and lowering.

import type { TensorSpec } from '../../shared/layout.js';
import { OperatorError } from '../../shared/problems.js';
import type { EngineName } from '../../shared/spec/schema.js';
import { UnknownKernel, type StepGraph } from '../../trace/step-graph.js';
import { trace, type TensorFunction } from '../../trace/trace.js';

/** Traces and lowers `f`; a kernel that is not known becomes a problem of the spec's engine. */
export function traceAndLower<T>(
  engine: EngineName,
  inputs: readonly TensorSpec[],
  f: TensorFunction,
  lower: (graph: StepGraph) => T,
): T {
  try {
    return lower(trace(inputs, f));
  } catch (error) {
    if (!(error instanceof UnknownKernel)) throw error;
    const allowed = 'tensorflow-eager, which is slow and needs no lowering';
    throw new OperatorError('the engine can not run this task', [
      { key: 'engine.name', given: engine, allowed, hint: error.message },
    ]);
  }
}
