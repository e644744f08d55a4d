// Lowers a step graph to one TensorFlow GraphDef: placeholders in, named tensors out, no variables.

import type { StepGraph, ValueId } from '../../step-graph.js';
import { GraphDefBuilder } from './builder.js';
import { activationLowerings } from './kernels/activations.js';
import { batchNormLowerings } from './kernels/batch-norm.js';
import { convolutionLowerings } from './kernels/convolution.js';
import { elementwiseLowerings } from './kernels/elementwise.js';
import { movementLowerings } from './kernels/movement.js';
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

/** A named input or output: which tensor ("node:output") it is. */
export interface TensorPort extends Operand {
  /** The graph's own name for it. */
  readonly port: string;
}

export interface GraphDef {
  readonly nodes: readonly NodeDef[];
  readonly inputs: readonly TensorPort[];
  readonly outputs: readonly TensorPort[];
}

/** The graph as a GraphDef. Throws naming a kernel that has no lowering. */
export function lowerToGraphDef(graph: StepGraph): GraphDef {
  const b = new GraphDefBuilder();
  const names = new Map<ValueId, string>();
  const operand = (value: ValueId): Operand => ({
    name: names.get(value)!,
    ...graph.values[value]!,
  });
  graph.inputs.forEach(({ value }, i) => {
    const { shape, dtype } = graph.values[value]!;
    names.set(value, b.placeholder(`input_${i}`, shape, dtype));
  });
  for (const [value, constant] of graph.constants) {
    const { shape, dtype } = graph.values[value]!;
    names.set(value, b.constant(shape, dtype, constant));
  }
  for (const { kernel, inputs, outputs, attrs } of graph.nodes) {
    const lowering = lowerings[kernel];
    if (lowering === undefined) throw new UnknownKernel(kernel, 'lowering to TensorFlow');
    const given = Object.entries(inputs).map(([name, value]) => [name, operand(value)] as const);
    const result = lowering(b, {
      ...{ kernel, inputs: Object.fromEntries(given), attrs },
      outputs: outputs.map((value) => graph.values[value]!),
    });
    const results = typeof result === 'string' ? [result] : result;
    outputs.forEach((value, i) => names.set(value, results[i]!));
  }
  const ports = (all: StepGraph['inputs']): TensorPort[] =>
    all.map(({ name, value }) => {
      const { name: tensor, shape, dtype } = operand(value);
      return { port: name, name: tensor.includes(':') ? tensor : `${tensor}:0`, shape, dtype };
    });
  return { nodes: b.nodes, inputs: ports(graph.inputs), outputs: ports(graph.outputs) };
}
