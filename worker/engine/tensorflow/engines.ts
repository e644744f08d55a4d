// The TensorFlow engines. The fast one lowers a step to one GraphDef, which TensorFlow loads as a
// saved model and runs in one native call. The slow one has TF.js run the step op by op on its
// TensorFlow backend: for comparison, and for tasks with an op that no lowering knows.

import * as tf from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../../../shared/layout.js';
import { registerReferences } from '../../../task/ops/references.js';
import { lowerToGraphDef } from '../../../trace/lower/tensorflow/lower.js';
import type { TensorFunction } from '../../../trace/trace.js';
import { fedArray, type CompiledGraph, type Engine, type EngineOptions } from '../engine.js';
import { createHostEngineState } from '../host-engine-state.js';
import { traceAndLower } from '../lowering.js';
import { createDeviceState } from './device-state.js';
import { compileGraph } from './graph.js';
import { backendName, loadTensorflow } from './load.js';

/** Creates the engine; TensorFlow is loaded into this process, for good. */
export function createTensorflowEngine(options: EngineOptions): Engine {
  const { backend, binding, fingerprint } = loadTensorflow(options);
  const compile: Engine['compile'] = async (inputs, f, factored) => {
    const graph = traceAndLower('tensorflow', inputs, f, lowerToGraphDef, factored);
    return compileGraph(binding, graph);
  };
  return {
    name: 'tensorflow',
    fingerprint: `tensorflow/${fingerprint}`,
    devices: 1,
    nativeTensors: () => backend.getNumOfTFTensors(),
    compile,
    // Variables lie where TensorFlow's kernels run.
    createState: (networks) =>
      binding.isUsingGpuDevice()
        ? createDeviceState(binding, networks)
        : createHostEngineState(networks, compile),
    close: () => Promise.resolve(),
  };
}

/** Creates the engine; TensorFlow is loaded into this process, for good. */
export function createEagerEngine(options: EngineOptions): Engine {
  const { backend, fingerprint } = loadTensorflow(options);
  registerReferences(backendName);
  const compile: Engine['compile'] = (inputs, f) => Promise.resolve(eager(inputs, f));
  return {
    name: 'tensorflow-eager',
    fingerprint: `tensorflow-eager/${fingerprint}`,
    devices: 1,
    nativeTensors: () => backend.getNumOfTFTensors(),
    compile,
    createState: (networks) => createHostEngineState(networks, compile),
    close: () => Promise.resolve(),
  };
}

function eager(inputs: readonly TensorSpec[], f: TensorFunction): CompiledGraph {
  return {
    run: async (feeds, fetches) => {
      await tf.setBackend(backendName);
      tf.tidy(() => {
        const tensors = inputs.map(({ name, shape }) => {
          // TF.js keeps the array it is given, and this one is its owner's to change.
          const values = fedArray(feeds, name).slice();
          return [name, tf.tensor(values, [...shape], 'float32')] as const;
        });
        const results = f(Object.fromEntries(tensors));
        for (const [name, into] of Object.entries(fetches)) {
          const result = results[name];
          if (result === undefined) throw new Error(`the graph has no port named '${name}'`);
          into.set(result.dataSync<'float32'>());
        }
      });
    },
    close: () => Promise.resolve(),
  };
}
