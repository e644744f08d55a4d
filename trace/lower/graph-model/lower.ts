// Lowers a step graph to a TF.js graph model: model.json and weights.bin, as tf.loadGraphModel
// reads them. The graph must not depend on the sizes that are left open: compare two traces first.

import { sizeOf } from '../../../shared/layout.js';
import type { GraphConstant, GraphPort, StepGraph, ValueId } from '../../step-graph.js';
import { kernelLowerings } from './kernels.js';
import { tensorShape, typeName, type NodeDef, type Weight } from '../tensorflow/node-def.js';

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
    const lowering = kernelLowerings[node.kernel];
    if (lowering === undefined || node.outputs.length !== 1)
      throw new Error(`the TF.js graph model has no operation for the kernel ${node.kernel}`);
    const value = node.outputs[0];
    const name = outputNames.get(value) ?? `${node.kernel.toLowerCase()}_${i}`;
    const ids = Object.values(node.inputs);
    const operation = lowering(
      node,
      ids.map((id) => graph.values[id]),
    );
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
