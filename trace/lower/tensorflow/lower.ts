// Lowers a step graph to one TensorFlow GraphDef: placeholders in, named tensors out, no variables.

import { sizeOf } from '../../../shared/layout.js';
import type { StepGraph, ValueId } from '../../step-graph.js';
import { GraphDefBuilder } from './builder.js';
import { activationLowerings } from './kernels/activations.js';
import { batchNormLowerings } from './kernels/batch-norm.js';
import { convolutionLowerings } from './kernels/convolution.js';
import { elementwiseLowerings } from './kernels/elementwise.js';
import { movementLowerings, split } from './kernels/movement.js';
import { productLowerings } from './kernels/products.js';
import { reductionLowerings } from './kernels/reduction.js';
import { UnknownKernel } from '../../unknown-kernel.js';
import type { Lowering, Operand } from './lowering.js';
import type { NodeDef } from './node-def.js';

const lowerings: Readonly<Record<string, Lowering>> = {
  ...elementwiseLowerings,
  ...activationLowerings,
  ...reductionLowerings,
  ...movementLowerings,
  ...convolutionLowerings,
  ...productLowerings,
  ...batchNormLowerings,
};

/** The kernels that have a lowering to TensorFlow. */
export const loweredKernels: readonly string[] = Object.keys(lowerings);

/** A named input: its tensor is "node:output". */
export interface InputPort extends Operand {
  /** The graph's own name for it. */
  readonly port: string;
}

/** A named output, in pieces that follow one another in the order of its values. */
export interface OutputPort {
  readonly port: string;
  readonly pieces: readonly Operand[];
}

export interface GraphDef {
  readonly nodes: readonly NodeDef[];
  readonly inputs: readonly InputPort[];
  readonly outputs: readonly OutputPort[];
}

/** The graph as a GraphDef. Throws naming a kernel that has no lowering. */
export function lowerToGraphDef(graph: StepGraph): GraphDef {
  const b = new GraphDefBuilder();
  const names = new Map<ValueId, string>();
  const operand = (value: ValueId): Operand => ({
    name: names.get(value)!,
    ...graph.values[value],
  });
  graph.inputs.forEach(({ value }, i) => {
    const { shape, dtype } = graph.values[value];
    names.set(value, b.placeholder(`input_${i}`, shape, dtype));
  });
  for (const [value, constant] of graph.constants) {
    const { shape, dtype } = graph.values[value];
    names.set(value, b.constant(shape, dtype, constant));
  }
  for (const { kernel, inputs, outputs, attrs } of graph.nodes) {
    const lowering = lowerings[kernel];
    if (lowering === undefined) throw new UnknownKernel(kernel, 'lowering to TensorFlow');
    const given = Object.entries(inputs).map(([name, value]) => [name, operand(value)] as const);
    const result = lowering(b, {
      ...{ kernel, inputs: Object.fromEntries(given), attrs },
      outputs: outputs.map((value) => graph.values[value]),
    });
    const results = typeof result === 'string' ? [result] : result;
    outputs.forEach((value, i) => names.set(value, results[i]));
  }
  const inputs = graph.inputs.map(({ name, value }) => ({
    port: name,
    ...fetched(operand(value)),
  }));
  const outputs = graph.outputs.map(({ name, value }) => {
    return { port: name, pieces: piecesOf(b, operand(value)).map(fetched) };
  });
  return { nodes: inOrder(b.nodes), inputs, outputs };
}

/** As TensorFlow wants the names of tensors that are fed and fetched. */
function fetched(tensor: Operand): Operand {
  return tensor.name.includes(':') ? tensor : { ...tensor, name: `${tensor.name}:0` };
}

/** Largest piece of an output: whoever fetches it holds one piece a second time, in floats. */
const mostFloats = 2 ** 21;

/** Parts of an output along its first axis. */
function piecesOf(b: GraphDefBuilder, tensor: Operand): Operand[] {
  const [rows = 1, ...row] = tensor.shape;
  const count = Math.min(rows, Math.ceil(sizeOf(tensor.shape) / mostFloats));
  if (count <= 1) return [tensor];
  const most = Math.ceil(rows / count);
  const sizes = Array.from({ length: Math.ceil(rows / most) }, (_, i) =>
    Math.min(most, rows - i * most),
  );
  return split(b, tensor, sizes, 0).map((name, i) => {
    return { name, dtype: tensor.dtype, shape: [sizes[i], ...row] };
  });
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
