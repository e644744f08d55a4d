// Lowers a step graph to a TF.js graph model: model.json and weights.bin, as tf.loadGraphModel
// reads them. The graph must not depend on the sizes that are left open: compare two traces first.

import { sizeOf } from '../../shared/layout.js';
import {
  UnknownKernel,
  type ConvAttributes,
  type GraphConstant,
  type GraphNode,
  type GraphPort,
  type GraphValue,
  type StepGraph,
  type ValueId,
} from '../step-graph.js';
import {
  convolutionAttrs,
  integerAttr,
  paddingName,
  stringAttr,
  tensorShape,
  typeName,
  type AttrValues,
  type NodeDef,
} from './tensorflow/node-def.js';

/** The two files of a TF.js graph model. */
export interface GraphModelFiles {
  /** Content of model.json. */
  readonly topology: string;
  /** Content of weights.bin, which model.json names. */
  readonly weights: Uint8Array;
}

export interface GraphModelOptions {
  /** Inputs that become weights, by name. */
  readonly embed: Readonly<Record<string, Float32Array>>;
  /** Inputs and outputs by name: which of their extents are open (-1). */
  readonly openAxes: Readonly<Record<string, readonly number[]>>;
  /** What a reader of the model should know; text by key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Lowers a graph; throws for a kernel without a lowering, named. */
export function lowerToGraphModel(graph: StepGraph, options: GraphModelOptions): GraphModelFiles {
  const { nodes, weights, names } = lowerNodes(graph, options);
  const open = graph.inputs.filter(({ name }) => !(name in options.embed));
  const port = ({ name, value }: GraphPort) => ({
    name: `${names.get(value)}:0`,
    dtype: 'DT_FLOAT',
    tensorShape: tensorShape(shapeOf(graph, value, options.openAxes[name] ?? [])),
  });
  const ports = (all: readonly GraphPort[]) =>
    Object.fromEntries(all.map((one) => [one.name, port(one)]));
  const topology = {
    format: 'graph-model',
    generatedBy: 'lockstep',
    convertedBy: null,
    signature: { inputs: ports(open), outputs: ports(graph.outputs) },
    userDefinedMetadata: options.metadata,
    modelTopology: { node: nodes, library: {}, versions: { producer: 1087 } },
    weightsManifest: [
      {
        paths: ['weights.bin'],
        weights: weights.map(({ name, shape, dtype }) => ({ name, shape, dtype })),
      },
    ],
  };
  return { topology: JSON.stringify(topology), weights: concatenate(weights) };
}

/** A weight: its values are found in weights.bin, one behind the other in this order. */
interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'int32';
  readonly data: Float32Array | Int32Array;
}

interface Lowered {
  readonly nodes: readonly NodeDef[];
  readonly weights: readonly Weight[];
  readonly names: ReadonlyMap<ValueId, string>;
}

function lowerNodes(graph: StepGraph, options: GraphModelOptions): Lowered {
  const nodes: NodeDef[] = [];
  const weights: Weight[] = [];
  const names = new Map<ValueId, string>();
  const addWeight = (weight: Weight): string => {
    weights.push(weight);
    nodes.push(constantNode(weight));
    return weight.name;
  };
  for (const { name, value } of graph.inputs) {
    const data = options.embed[name];
    const { shape } = graph.values[value];
    names.set(value, name);
    if (data !== undefined) addWeight({ name, shape, dtype: 'float32', data });
    else nodes.push(placeholder(name, shapeOf(graph, value, options.openAxes[name] ?? [])));
  }
  for (const [value, constant] of graph.constants)
    names.set(value, addWeight(constantWeight(`constant_${value}`, graph, value, constant)));
  const outputNames = new Map(graph.outputs.map(({ name, value }) => [value, name]));
  graph.nodes.forEach((node, i) => {
    const operationOf = operations[node.kernel];
    if (operationOf === undefined || node.outputs.length !== 1)
      throw new UnknownKernel(node.kernel, 'operation in a TF.js graph model');
    const value = node.outputs[0];
    const name = outputNames.get(value) ?? `${node.kernel.toLowerCase()}_${i}`;
    const ids = Object.values(node.inputs);
    const given = ids.map((id) => graph.values[id]);
    const operation = operationOf(node, given);
    const constants = (operation.constants ?? []).map(({ label, shape, values }) =>
      addWeight({ name: `${name}/${label}`, shape, dtype: 'int32', data: Int32Array.from(values) }),
    );
    const attr = { T: { type: typeName('float32') }, ...operation.attr };
    const input = [...ids.map((id) => names.get(id)!), ...constants];
    nodes.push({ name, op: operation.op, input, attr });
    names.set(value, name);
  });
  return { nodes, weights, names };
}

function placeholder(name: string, extents: readonly number[]): NodeDef {
  const attr = { dtype: { type: typeName('float32') }, shape: { shape: tensorShape(extents) } };
  return { name, op: 'Placeholder', attr };
}

/** A constant's shape and type; its values lie in weights.bin. */
function constantNode({ name, shape, dtype }: Weight): NodeDef {
  const tensor = { dtype: typeName(dtype), tensorShape: tensorShape(shape) };
  return { name, op: 'Const', attr: { dtype: { type: tensor.dtype }, value: { tensor } } };
}

function constantWeight(
  name: string,
  graph: StepGraph,
  value: ValueId,
  constant: GraphConstant,
): Weight {
  const { shape, dtype } = graph.values[value];
  if (dtype === 'bool') throw new Error('a TF.js graph model with a boolean constant is not known');
  if (constant.kind === 'fill') {
    const array = dtype === 'int32' ? Int32Array : Float32Array;
    return { name, shape, dtype, data: new array(sizeOf(shape)).fill(constant.value) };
  }
  return { name, shape, dtype, data: constant.data as Float32Array | Int32Array };
}

function concatenate(weights: readonly Weight[]): Uint8Array {
  return Buffer.concat(
    weights.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  );
}

function shapeOf(graph: StepGraph, value: ValueId, openAxes: readonly number[]): number[] {
  return graph.values[value].shape.map((extent, axis) => (openAxes.includes(axis) ? -1 : extent));
}

/** An operation for a node; its inputs are the node's in their order, then `constants`. */
interface Operation {
  readonly op: string;
  readonly attr?: AttrValues;
  readonly constants?: readonly IntegerConstant[];
}

/** Small integers that TensorFlow wants as an input (paddings, an axis). */
interface IntegerConstant {
  readonly label: string;
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** From a node and the shapes of its inputs. */
type OperationOf = (node: GraphNode, inputs: readonly GraphValue[]) => Operation;

const same =
  (op: string): OperationOf =>
  () => ({ op });

const conv2d: OperationOf = ({ attrs }, inputs) => {
  const geometry = attrs as unknown as ConvAttributes;
  const [image, filter] = inputs.map(({ shape }) => shape);
  const padding = paddingName(image.slice(1, 3), filter.slice(0, 2), geometry);
  // With strides, what "SAME" means depends on the extents, which may be open.
  const isOfAnyExtent = padding === 'VALID' || geometry.strides.every((stride) => stride === 1);
  return { op: 'Conv2D', attr: convolutionAttrs(geometry, isOfAnyExtent ? padding : undefined) };
};

/** The kernels of a generator's forward pass; extend the table here. */
const operations: Readonly<Record<string, OperationOf>> = {
  Add: same('AddV2'),
  Sub: same('Sub'),
  Multiply: same('Mul'),
  RealDiv: same('RealDiv'),
  Relu: same('Relu'),
  Rsqrt: same('Rsqrt'),
  Sigmoid: same('Sigmoid'),
  Tanh: same('Tanh'),
  Prelu: same('Prelu'),
  LeakyRelu: ({ attrs }) => ({ op: 'LeakyRelu', attr: { alpha: { f: attrs['alpha'] as number } } }),
  Conv2D: conv2d,
  DepthToSpace: ({ attrs }) => ({
    op: 'DepthToSpace',
    attr: { block_size: integerAttr(attrs['block'] as number), data_format: stringAttr('NHWC') },
  }),
  Concat: ({ attrs, inputs }) => ({
    op: 'ConcatV2',
    attr: { N: integerAttr(Object.keys(inputs).length) },
    constants: [{ label: 'axis', shape: [], values: [attrs['axis'] as number] }],
  }),
  MirrorPad: ({ attrs }) => {
    const paddings = attrs['paddings'] as readonly (readonly [number, number])[];
    return {
      op: 'MirrorPad',
      attr: { mode: stringAttr(String(attrs['mode']).toUpperCase()) },
      constants: [{ label: 'paddings', shape: [paddings.length, 2], values: paddings.flat() }],
    };
  },
};
