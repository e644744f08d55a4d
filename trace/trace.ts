// Traces a TF.js function into a step graph: the function runs once on a backend that records
// kernels instead of running them. What it decided in JavaScript on the way is frozen.

import * as tf from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../shared/layout.js';
import type { NamedTensors } from '../task/task.js';
import { recordingBackend, traceBackendName, type GraphDraft } from './record/backend.js';
import { simplify } from './simplify.js';
import { UnknownKernel, type GraphPort, type StepGraph } from './step-graph.js';

/** A function of TF.js tensors by name. */
export type TensorFunction = (inputs: NamedTensors) => NamedTensors;

/**
 * Runs `f` on placeholders of the given names and shapes (float32) and returns what it did,
 * simplified. Throws when `f` reads a value or uses a kernel that has no recording.
 */
export function trace(inputs: readonly TensorSpec[], f: TensorFunction): StepGraph {
  return simplify(record(inputs, f));
}

/** As `trace`, but exactly as recorded. */
export function record(inputs: readonly TensorSpec[], f: TensorFunction): StepGraph {
  const backend = recordingBackend();
  const draft: GraphDraft = { values: [], constants: new Map(), nodes: [] };
  const ports: { inputs: GraphPort[]; outputs: GraphPort[] } = { inputs: [], outputs: [] };
  withBackend(traceBackendName, () => {
    backend.begin(draft);
    tf.tidy(() => {
      const placeholders: NamedTensors = {};
      for (const { name, shape } of inputs) {
        const placed = backend.place({ shape: [...shape], dtype: 'float32' });
        placeholders[name] = tf.engine().makeTensorFromTensorInfo(placed);
        ports.inputs.push({ name, value: backend.idOf(placed) });
      }
      const results = run(f, placeholders);
      for (const [name, tensor] of Object.entries(results))
        ports.outputs.push({ name, value: backend.idOf(tf.clone(tensor)) });
    });
  });
  return { ...draft, ...ports };
}

function run(f: TensorFunction, inputs: NamedTensors): NamedTensors {
  try {
    return f(inputs);
  } catch (error) {
    const kernel = /Kernel '(\w+)' not registered/.exec(String(error))?.[1];
    if (kernel === undefined) throw error;
    throw new UnknownKernel(kernel, 'recording: add one under trace/record', { cause: error });
  }
}

// setBackend is async by type, but synchronous for a backend that is created synchronously.
function withBackend(name: string, work: () => void): void {
  const before = tf.engine().backendName;
  void tf.setBackend(name);
  try {
    work();
  } finally {
    if (before && before !== name) void tf.setBackend(before);
  }
}
