// Lowers a step graph to one TensorFlow GraphDef: placeholders in, named tensors out, no variables.

import { sizeOf } from '../../../shared/layout.js';
import type { StepGraph, ValueId } from '../../step-graph.js';
import { lowerNodes } from '../lowering.js';
import { GraphDefBuilder, type TensorflowLowerings, type TensorRef } from './builder.js';
import { elementwiseToTensorflow } from './kernels/elementwise.js';
import { movementToTensorflow, split } from './kernels/movement.js';
import { networksToTensorflow } from './kernels/networks.js';
import type { NodeDef } from './node-def.js';

/** The kernels that have a lowering to TensorFlow. */
export const tensorflowLowerings: TensorflowLowerings = {
  ...elementwiseToTensorflow,
  ...movementToTensorflow,
  ...networksToTensorflow,
};

/** A named input: its tensor is "node:output". */
export interface InputPort extends TensorRef {
  /** The graph's own name for it. */
  readonly port: string;
}

/** A named output, in pieces that follow one another in the order of its values. */
export interface OutputPort {
  readonly port: string;
  readonly pieces: readonly TensorRef[];
}

export interface GraphDef {
  readonly nodes: readonly NodeDef[];
  readonly inputs: readonly InputPort[];
  readonly outputs: readonly OutputPort[];
}

/** The graph as a GraphDef. Throws naming a kernel that has no lowering. */
export function lowerToGraphDef(graph: StepGraph): GraphDef {
  const b = new GraphDefBuilder();
  const values = new Map<ValueId, TensorRef>();
  graph.inputs.forEach(({ value }, i) => {
    const { shape, dtype } = graph.values[value];
    values.set(value, { name: b.placeholder(`input_${i}`, shape, dtype), shape, dtype });
  });
  for (const [value, constant] of graph.constants) {
    const { shape, dtype } = graph.values[value];
    values.set(value, { name: b.constant(shape, dtype, constant), shape, dtype });
  }
  const lowering = { engine: 'TensorFlow', table: tensorflowLowerings };
  lowerNodes(graph, lowering, b, values, (name, value) => ({ name, ...value }));
  const inputs = graph.inputs.map(({ name, value }) => ({
    port: name,
    ...fetched(values.get(value)!),
  }));
  const outputs = graph.outputs.map(({ name, value }) => ({
    port: name,
    pieces: piecesOf(b, values.get(value)!).map(fetched),
  }));
  return { nodes: inOrder(b.nodes), inputs, outputs };
}

/** As TensorFlow wants the names of tensors that are fed and fetched. */
function fetched(tensor: TensorRef): TensorRef {
  return tensor.name.includes(':') ? tensor : { ...tensor, name: `${tensor.name}:0` };
}

/** Largest piece of an output: a fetch holds one piece a second time, in floats. */
const mostFloats = 2 ** 21;

/** Parts of an output along its first axis. */
function piecesOf(b: GraphDefBuilder, tensor: TensorRef): TensorRef[] {
  const [rows = 1, ...row] = tensor.shape;
  const count = Math.min(rows, Math.ceil(sizeOf(tensor.shape) / mostFloats));
  if (count <= 1) return [tensor];
  const most = Math.ceil(rows / count);
  const sizes = Array.from({ length: Math.ceil(rows / most) }, (_, i) =>
    Math.min(most, rows - i * most),
  );
  return split(b, tensor, sizes, 0).map((name, i) => ({
    ...{ name, dtype: tensor.dtype },
    shape: [sizes[i], ...row],
  }));
}

/**
 * The same nodes, each of which waits for the one before it: the trace's own order keeps few
 * values alive at a time, and TensorFlow's executor would start whatever it can.
 */
function inOrder(nodes: readonly NodeDef[]): NodeDef[] {
  let before: string | undefined;
  return nodes.map((node) => {
    if (node.op === 'Const' || node.op === 'Placeholder') return node;
    const input = [...(node.input ?? []), ...(before === undefined ? [] : [`^${before}`])];
    before = node.name;
    return { ...node, input };
  });
}
