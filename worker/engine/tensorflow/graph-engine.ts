// The TensorFlow engine: a step is lowered to one GraphDef, which TensorFlow loads as a saved
// model and runs in one native call. Tensors are made for a run and deleted after it, so that none
// outlives the arrays it was made of.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  lowerToGraphDef,
  type GraphDef,
  type TensorPort,
} from '../../../trace/lower/tensorflow/lower.js';
import { encodeSavedModel, servingTag } from '../../../trace/lower/tensorflow/saved-model.js';
import { fedArray, type CompiledGraph, type Engine, type EngineOptions } from '../engine.js';
import { lowered } from '../lowered.js';
import type { TensorflowBinding } from './binding.js';
import { loadTensorflow } from './load.js';

/** Creates the engine; TensorFlow is loaded into this process, for good. */
export function createTensorflowEngine(options: EngineOptions): Engine {
  const { binding, fingerprint } = loadTensorflow(options);
  return {
    name: 'tensorflow',
    fingerprint: `tensorflow/${fingerprint}`,
    compile: async (inputs, f) => {
      const graph = lowered('tensorflow', inputs, f, lowerToGraphDef);
      return new TensorflowGraph(binding, await load(binding, graph), graph);
    },
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

class TensorflowGraph implements CompiledGraph {
  private readonly outputs: ReadonlyMap<string, TensorPort>;
  private readonly inputNames: string;

  constructor(
    private readonly binding: TensorflowBinding,
    private readonly model: number,
    private readonly graph: GraphDef,
  ) {
    this.outputs = new Map(graph.outputs.map((output) => [output.port, output]));
    this.inputNames = graph.inputs.map(({ name }) => name).join();
  }

  run(feeds: Record<string, Float32Array>, fetches: Record<string, Float32Array>): Promise<void> {
    const wanted = Object.entries(fetches).map(([port, into]) => ({
      name: this.nameOf(port),
      into,
    }));
    const made: number[] = [];
    try {
      for (const { port, shape } of this.graph.inputs)
        made.push(this.binding.createTensor(shape, this.binding.TF_FLOAT, fedArray(feeds, port)));
      const names = wanted.map(({ name }) => name).join();
      const given = this.binding.runSavedModel(this.model, [...made], this.inputNames, names);
      made.push(...given.map(({ id }) => id));
      wanted.forEach(({ into }, i) => into.set(this.binding.tensorDataSync(given[i]!.id)));
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error as Error);
    } finally {
      for (const id of made) this.binding.deleteTensor(id);
    }
  }

  close(): Promise<void> {
    this.binding.deleteSavedModel(this.model);
    return Promise.resolve();
  }

  private nameOf(port: string): string {
    const output = this.outputs.get(port);
    if (output === undefined) throw new Error(`the graph has no port named '${port}'`);
    return output.name;
  }
}
