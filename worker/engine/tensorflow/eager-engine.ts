// The slow path: TF.js runs a step op by op on its TensorFlow backend, in every call anew. For
// comparison, and for tasks with an op that no lowering knows.

import * as tf from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../../../shared/layout.js';
import { registerReferences } from '../../../task/ops/references.js';
import type { TensorFunction } from '../../../trace/trace.js';
import { fedArray, type CompiledGraph, type Engine, type EngineOptions } from '../engine.js';
import { backendName, loadTensorflow } from './load.js';

/** Creates the engine; TensorFlow is loaded into this process, for good. */
export function createEagerEngine(options: EngineOptions): Engine {
  const { backend, fingerprint } = loadTensorflow(options);
  registerReferences(backendName);
  return {
    name: 'tensorflow-eager',
    fingerprint: `tensorflow-eager/${fingerprint}`,
    nativeTensors: () => backend.getNumOfTFTensors(),
    compile: (inputs, f) => Promise.resolve(eager(inputs, f)),
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
