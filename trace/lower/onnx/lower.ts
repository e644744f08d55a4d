// Lowers a step graph to one ONNX model. Inputs and outputs keep their names and lie in TF.js's
// order (NHWC, HWIO); what order values have inside is decided kernel by kernel.

import type { StepGraph, ValueId } from '../../step-graph.js';
import { neededBy, OnnxBuilder } from './builder.js';
import { activationLowerings } from './kernels/activations.js';
import { batchNormLowerings } from './kernels/batch-norm.js';
import { convolutionLowerings } from './kernels/convolution.js';
import { elementwiseLowerings } from './kernels/elementwise.js';
import { movementLowerings } from './kernels/movement.js';
import { productLowerings } from './kernels/products.js';
import { reductionLowerings } from './kernels/reduction.js';
import { resizingLowerings } from './kernels/resizing.js';
import { UnknownKernel } from '../../unknown-kernel.js';
import type { Lowering } from './lowering.js';
import { nameOutputs } from './outputs.js';
import { prepareForOnnx } from './prepare.js';
import { encodeModel, type OnnxModel, type OnnxPort } from './proto.js';
import { filled, plainName, stored, type OnnxValue } from './value.js';

const lowerings: Readonly<Record<string, Lowering>> = {
  ...elementwiseLowerings,
  ...activationLowerings,
  ...reductionLowerings,
  ...movementLowerings,
  ...convolutionLowerings,
  ...productLowerings,
  ...batchNormLowerings,
  ...resizingLowerings,
};

/** The kernels that have a lowering to ONNX. */
export const loweredKernels: readonly string[] = Object.keys(lowerings);

export interface LowerOptions {
  /** Inputs that become constants of the model, with their values in TF.js's order. */
  readonly embed?: Readonly<Record<string, Float32Array>>;
  /** Dimensions of ports by name, texts for symbolic ones; see dynamic.ts for how to be sure. */
  readonly symbolicDims?: Readonly<Record<string, readonly (number | string)[]>>;
  /**
   * For ONNX Runtime alone and not as a file to keep: uses its own operators, and outputs come in
   * any shape whose values lie in TF.js's flat order, which saves copies.
   */
  readonly forRuntime?: boolean;
}

/** The graph as the bytes of an ONNX file (opset 17). Throws naming a kernel it cannot lower. */
export function lowerToOnnx(graph: StepGraph, options: LowerOptions = {}): Uint8Array {
  return encodeModel(lowerToModel(graph, options));
}

/** As `lowerToOnnx`, before encoding. */
export function lowerToModel(given: StepGraph, options: LowerOptions = {}): OnnxModel {
  requireDistinctPorts(given);
  const graph = prepareForOnnx(given);
  const forRuntime = options.forRuntime === true;
  const b = new OnnxBuilder({ forRuntime });
  const values = new Map<ValueId, OnnxValue>();
  const inputs = lowerInputs(b, graph, options, values);
  lowerConstants(b, graph, values);
  lowerNodes(b, graph, values);
  const results = graph.outputs.map(({ name, value }) => {
    const { shape, dtype } = graph.values[value];
    const dims = dimsOf(name, shape, options);
    return { name, dims, type: dtype, value: plainName(b, values.get(value)!) };
  });
  const { nodes, outputs } = nameOutputs(b.nodes, results, forRuntime);
  const names = outputs.map(({ name }) => name);
  return { ...neededBy(names, nodes, b.initializers), inputs, outputs };
}

function requireDistinctPorts({ inputs, outputs }: StepGraph): void {
  const names = new Set(inputs.map(({ name }) => name));
  const clash = outputs.find(({ name }) => names.has(name));
  if (clash !== undefined)
    throw new Error(`an input and an output are both named '${clash.name}': ONNX allows no such`);
}

function dimsOf(name: string, shape: readonly number[], { symbolicDims = {} }: LowerOptions) {
  return symbolicDims[name] ?? shape;
}

function lowerInputs(
  b: OnnxBuilder,
  graph: StepGraph,
  options: LowerOptions,
  values: Map<ValueId, OnnxValue>,
): OnnxPort[] {
  const ports: OnnxPort[] = [];
  for (const { name, value } of graph.inputs) {
    const { shape, dtype } = graph.values[value];
    const embedded = options.embed?.[name];
    if (embedded === undefined)
      ports.push({ name, dims: dimsOf(name, shape, options), type: dtype });
    const at = embedded === undefined ? name : b.constant(shape, dtype, embedded);
    values.set(value, stored(at, shape, dtype));
  }
  return ports;
}

function lowerConstants(b: OnnxBuilder, graph: StepGraph, values: Map<ValueId, OnnxValue>): void {
  for (const [id, constant] of graph.constants) {
    const { shape, dtype } = graph.values[id];
    const value =
      constant.kind === 'fill'
        ? filled(constant.value, shape, dtype)
        : stored(b.constant(shape, dtype, constant.data), shape, dtype);
    values.set(id, value);
  }
}

function lowerNodes(b: OnnxBuilder, graph: StepGraph, values: Map<ValueId, OnnxValue>): void {
  for (const { kernel, inputs, outputs, attrs } of graph.nodes) {
    const lowering = lowerings[kernel];
    if (lowering === undefined) throw new UnknownKernel(kernel, 'lowering to ONNX');
    const given = Object.entries(inputs).map(([name, id]) => [name, values.get(id)!]);
    const result = lowering(b, {
      kernel,
      inputs: Object.fromEntries(given) as Record<string, OnnxValue>,
      outputs: outputs.map((id) => graph.values[id]),
      attrs,
    });
    const results = Array.isArray(result) ? result : [result];
    outputs.forEach((id, i) => values.set(id, (results as OnnxValue[])[i]));
  }
}
