// Lowers a step graph to one ONNX model. Inputs and outputs keep their names and lie in TF.js's
// order (NHWC, HWIO); what order values have inside is decided kernel by kernel.

import { isDeepStrictEqual } from 'node:util';
import type { StepGraph, ValueId } from '../../step-graph.js';
import { lowerNodes } from '../lowering.js';
import { OnnxBuilder } from './builder.js';
import { convolutionToOnnx } from './kernels/convolution.js';
import { elementwiseToOnnx } from './kernels/elementwise.js';
import { movementToOnnx } from './kernels/movement.js';
import { normActivationToOnnx } from './kernels/norm-activation.js';
import { poolingToOnnx } from './kernels/pooling.js';
import { sumsToOnnx } from './kernels/sums.js';
import { prepareForOnnx } from './prepare.js';
import {
  encodeModel,
  type OnnxInitializer,
  type OnnxModel,
  type OnnxNode,
  type OnnxPort,
} from './proto.js';
import { filled, plainName, stored, type OnnxLowerings, type OnnxValue } from './value.js';

/** The kernels that have a lowering to ONNX. */
export const onnxLowerings: OnnxLowerings = {
  ...elementwiseToOnnx,
  ...sumsToOnnx,
  ...movementToOnnx,
  ...convolutionToOnnx,
  ...normActivationToOnnx,
  ...poolingToOnnx,
};

export interface OnnxLowerOptions {
  /** Inputs that become constants of the model, with their values in TF.js's order. */
  readonly embed?: Readonly<Record<string, Float32Array>>;
  /** Dimensions of ports by name, texts for symbolic ones: `lowerDynamic` checks them. */
  readonly symbolicDims?: Readonly<Record<string, readonly (number | string)[]>>;
  /**
   * For ONNX Runtime alone and not as a file to keep: uses its own operators, and outputs come in
   * any shape whose values lie in TF.js's flat order, which saves copies.
   */
  readonly forRuntime?: boolean;
}

/** The graph as the bytes of an ONNX file (opset 17). Throws naming a kernel it cannot lower. */
export function lowerToOnnx(graph: StepGraph, options: OnnxLowerOptions = {}): Uint8Array {
  return encodeModel(lowerToModel(graph, options));
}

/** As `lowerToOnnx`, before encoding. */
export function lowerToModel(given: StepGraph, options: OnnxLowerOptions = {}): OnnxModel {
  requireDistinctPorts(given);
  const graph = prepareForOnnx(given);
  const forRuntime = options.forRuntime === true;
  const b = new OnnxBuilder(forRuntime);
  const values = new Map<ValueId, OnnxValue>();
  const inputs = lowerInputs(b, graph, options, values);
  lowerConstants(b, graph, values);
  const lowering = { engine: 'ONNX', table: onnxLowerings };
  lowerNodes(graph, lowering, b, values, (value) => value);
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

function dimsOf(name: string, shape: readonly number[], { symbolicDims = {} }: OnnxLowerOptions) {
  return symbolicDims[name] ?? shape;
}

function lowerInputs(
  b: OnnxBuilder,
  graph: StepGraph,
  options: OnnxLowerOptions,
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

/** An output of the model and the value inside that it is. */
interface OutputValue extends OnnxPort {
  readonly value: string;
}

/**
 * Nodes in which the outputs' values have the outputs' names, and the ports for them. A copy at the
 * end of the graph would cost a pass over every gradient, so the node that makes an output writes
 * it under its name wherever that is possible.
 */
function nameOutputs(
  nodes: readonly OnnxNode[],
  results: readonly OutputValue[],
  mayReshape: boolean,
): { nodes: OnnxNode[]; outputs: OnnxPort[] } {
  const producers = new Map(nodes.map((node) => [node.output, node]));
  const names = new Map<string, string>();
  const copies: OnnxNode[] = [];
  const outputs = results.map(({ name, dims, type, value }): OnnxPort => {
    const source = mayReshape ? beforeReshapes(value, producers) : value;
    if (producers.has(source) && !names.has(source)) names.set(source, name);
    else copies.push({ op: 'Identity', domain: '', inputs: [source], output: name, attrs: {} });
    return { name, dims: source === value ? dims : undefined, type };
  });
  const rename = (name: string) => names.get(name) ?? name;
  const renamed = [...nodes, ...copies].map((node) => ({
    ...node,
    inputs: node.inputs.map(rename),
    output: rename(node.output),
  }));
  return { nodes: renamed, outputs };
}

/** What a value was before it was only seen under other shapes; stops at inputs and constants. */
function beforeReshapes(value: string, producers: ReadonlyMap<string, OnnxNode>): string {
  let source = value;
  for (let node = producers.get(source); node?.op === 'Reshape'; node = producers.get(source)) {
    if (!producers.has(node.inputs[0])) return source;
    source = node.inputs[0];
  }
  return source;
}

/** The nodes and initializers that the named values need. */
function neededBy(
  names: readonly string[],
  nodes: readonly OnnxNode[],
  initializers: readonly OnnxInitializer[],
): Pick<OnnxModel, 'nodes' | 'initializers'> {
  const needed = new Set(names);
  const kept: OnnxNode[] = [];
  for (const node of nodes.toReversed()) {
    if (!needed.has(node.output)) continue;
    kept.push(node);
    node.inputs.forEach((name) => needed.add(name));
  }
  return {
    nodes: kept.reverse(),
    initializers: initializers.filter(({ name }) => needed.has(name)),
  };
}

/**
 * Lowers a function traced at two sizes to one ONNX model with open dimensions: `symbolicDims` has
 * texts where the two traces may differ. Whether the model depends on its input's size shows when
 * both lower to the same nodes; throws, naming the node, when they do not.
 */
export function lowerDynamic(
  one: StepGraph,
  other: StepGraph,
  options: Pick<OnnxLowerOptions, 'embed' | 'symbolicDims'>,
): Uint8Array {
  const [model, second] = [lowerToModel(one, options), lowerToModel(other, options)];
  const difference = firstDifference(model, second);
  if (difference !== undefined)
    throw new Error(`the model depends on the size of its input: ${difference}`);
  return encodeModel(model);
}

function firstDifference(a: OnnxModel, b: OnnxModel): string | undefined {
  if (!isDeepStrictEqual(a.inputs, b.inputs) || !isDeepStrictEqual(a.outputs, b.outputs))
    return 'its ports differ beyond the open dimensions';
  const count = Math.max(a.nodes.length, b.nodes.length);
  for (let i = 0; i < count; i++)
    if (!isDeepStrictEqual(a.nodes[i], b.nodes[i])) return `node ${i}, ${a.nodes[i]?.op ?? 'none'}`;
  const at = a.initializers.findIndex((each, i) => !isDeepStrictEqual(each, b.initializers[i]));
  if (at < 0) return undefined;
  const { name } = a.initializers[at];
  const user = a.nodes.find(({ inputs }) => inputs.includes(name));
  return `a constant of ${user?.op ?? 'the output'}`;
}
