// A GraphDef in TensorFlow's hands: loaded into a session, and run. It makes tensors for a run and
// deletes them after it, so that none outlives its array.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sizeOf } from '../../../shared/layout.js';
import type { GraphDef } from '../../../trace/lower/tensorflow/lower.js';
import { encodeSavedModel, servingTag } from '../../../trace/lower/tensorflow/saved-model.js';
import { fedArray, type CompiledGraph } from '../engine.js';
import type { NativeTensor, TensorflowBinding } from './load.js';

/** The session of a graph that was written for TensorFlow to read, and only for that: a handle. */
export async function loadGraph(binding: TensorflowBinding, graph: GraphDef): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-graph-'));
  try {
    await writeFile(join(folder, 'saved_model.pb'), encodeSavedModel(graph));
    return binding.loadSavedModel(folder, servingTag);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A graph with a session of its own. */
export async function compileGraph(
  binding: TensorflowBinding,
  graph: GraphDef,
): Promise<CompiledGraph> {
  const session = await loadGraph(binding, graph);
  return {
    run: async (feeds, fetches) => runGraph(binding, session, graph, feeds, fetches),
    close: async () => binding.deleteSavedModel(session),
  };
}

/** Values by port; integers where the graph wants them. */
type Feeds = Readonly<Record<string, Float32Array | Int32Array>>;

/** Runs a graph of a session: as `CompiledGraph.run`, in one call that blocks. */
export function runGraph(
  binding: TensorflowBinding,
  session: number,
  graph: GraphDef,
  feeds: Feeds,
  fetches: Readonly<Record<string, Float32Array>>,
): void {
  const pieces = Object.entries(fetches).flatMap(([port, into]) => piecesOf(graph, port, into));
  const names = pieces.map(({ name }) => name);
  const results = execute(binding, session, graph, feeds, names);
  try {
    for (const { into } of pieces) {
      const [{ id }] = results as [NativeTensor];
      into.set(binding.tensorDataSync(id));
      // At once, since all of them together are as large as the parameters.
      binding.deleteTensor(id);
      results.shift();
    }
  } finally {
    for (const { id } of results) binding.deleteTensor(id);
  }
}

/** The tensors of these names; they are the caller's to delete. */
function execute(
  binding: TensorflowBinding,
  session: number,
  { inputs }: GraphDef,
  feeds: Feeds,
  names: readonly string[],
): NativeTensor[] {
  const fed: number[] = [];
  try {
    for (const { port, shape, dtype } of inputs) {
      const type = dtype === 'int32' ? binding.TF_INT32 : binding.TF_FLOAT;
      fed.push(binding.createTensor(shape, type, fedArray(feeds, port)));
    }
    const inputNames = inputs.map(({ name }) => name).join();
    return [...binding.runSavedModel(session, fed, inputNames, names.join())];
  } finally {
    for (const id of fed) binding.deleteTensor(id);
  }
}

/** The tensors of an output, each with the part of the array that it goes to. */
function piecesOf(
  { outputs }: GraphDef,
  port: string,
  array: Float32Array,
): { name: string; into: Float32Array }[] {
  const output = outputs.find((output) => output.port === port);
  if (output === undefined) throw new Error(`the graph has no port named '${port}'`);
  if (output.pieces.length === 1) return [{ name: output.pieces[0].name, into: array }];
  let start = 0;
  return output.pieces.map(({ name, shape }) => {
    const into = array.subarray(start, (start += sizeOf(shape)));
    return { name, into };
  });
}
