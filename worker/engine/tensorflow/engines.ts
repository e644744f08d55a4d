// The TensorFlow engines. The fast one lowers a step to one GraphDef, which TensorFlow loads as a
// saved model and runs in one native call. The slow one has TF.js run the step op by op on its
// TensorFlow backend: for comparison, and for tasks with an op that no lowering knows.

import * as tf from '@tensorflow/tfjs-core';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sizeOf, type TensorSpec } from '../../../shared/layout.js';
import { registerReferences } from '../../../task/ops/references.js';
import {
  lowerToGraphDef,
  type GraphDef,
  type OutputPort,
} from '../../../trace/lower/tensorflow/lower.js';
import { encodeSavedModel, servingTag } from '../../../trace/lower/tensorflow/saved-model.js';
import type { TensorFunction } from '../../../trace/trace.js';
import { fedArray, type CompiledGraph, type Engine, type EngineOptions } from '../engine.js';
import { createHostEngineState } from '../host-engine-state.js';
import { traceAndLower } from '../lowering.js';
import { backendName, loadTensorflow, type NativeTensor, type TensorflowBinding } from './load.js';

/** Creates the engine; TensorFlow is loaded into this process, for good. */
export function createTensorflowEngine(options: EngineOptions): Engine {
  const { backend, binding, fingerprint } = loadTensorflow(options);
  const compile: Engine['compile'] = async (inputs, f) => {
    const graph = traceAndLower('tensorflow', inputs, f, lowerToGraphDef);
    return new TensorflowGraph(binding, await load(binding, graph), graph);
  };
  return {
    name: 'tensorflow',
    fingerprint: `tensorflow/${fingerprint}`,
    devices: 1,
    nativeTensors: () => backend.getNumOfTFTensors(),
    compile,
    createState: (networks) => createHostEngineState(networks, compile),
    close: () => Promise.resolve(),
  };
}

/** The handle of a graph that was written for TensorFlow to read, and only for that. */
async function load(binding: TensorflowBinding, graph: GraphDef): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-graph-'));
  try {
    await writeFile(join(folder, 'saved_model.pb'), encodeSavedModel(graph));
    return binding.loadSavedModel(folder, servingTag);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Makes tensors for a run and deletes them after it, so that none outlives its array. */
class TensorflowGraph implements CompiledGraph {
  private readonly outputs: ReadonlyMap<string, OutputPort>;
  private readonly inputNames: string;

  constructor(
    private readonly binding: TensorflowBinding,
    private readonly model: number,
    private readonly graph: GraphDef,
  ) {
    this.outputs = new Map(graph.outputs.map((output) => [output.port, output]));
    this.inputNames = graph.inputs.map(({ name }) => name).join();
  }

  async run(
    feeds: Record<string, Float32Array>,
    fetches: Record<string, Float32Array>,
  ): Promise<void> {
    const pieces = Object.entries(fetches).flatMap(([port, into]) => this.piecesOf(port, into));
    const results = this.execute(
      feeds,
      pieces.map(({ name }) => name),
    );
    try {
      for (const { into } of pieces) {
        const [{ id }] = results as [NativeTensor];
        into.set(this.binding.tensorDataSync(id));
        // At once, since all of them together are as large as the parameters.
        this.binding.deleteTensor(id);
        results.shift();
      }
    } finally {
      for (const { id } of results) this.binding.deleteTensor(id);
    }
  }

  /** Runs the graph; the results are the caller's to delete. */
  private execute(feeds: Record<string, Float32Array>, names: readonly string[]): NativeTensor[] {
    const inputs: number[] = [];
    try {
      for (const { port, shape } of this.graph.inputs)
        inputs.push(this.binding.createTensor(shape, this.binding.TF_FLOAT, fedArray(feeds, port)));
      return [...this.binding.runSavedModel(this.model, inputs, this.inputNames, names.join())];
    } finally {
      for (const id of inputs) this.binding.deleteTensor(id);
    }
  }

  close(): Promise<void> {
    this.binding.deleteSavedModel(this.model);
    return Promise.resolve();
  }

  /** The tensors of an output, each with the part of the array that it goes to. */
  private piecesOf(port: string, array: Float32Array): { name: string; into: Float32Array }[] {
    const output = this.outputs.get(port);
    if (output === undefined) throw new Error(`the graph has no port named '${port}'`);
    let start = 0;
    return output.pieces.map(({ name, shape }) => {
      const into = array.subarray(start, (start += sizeOf(shape)));
      return { name, into };
    });
  }
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
