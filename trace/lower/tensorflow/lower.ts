// Lowers a step graph to one TensorFlow GraphDef: placeholders in, named tensors out. Inputs and
// outputs may be variables instead, which stay in the session that runs the graph.

import { sizeOf } from '../../../shared/layout.js';
import type { GraphPort, StepGraph, ValueId } from '../../step-graph.js';
import { lowerNodes } from '../lowering.js';
import { GraphDefBuilder, type TensorflowLowerings, type TensorRef } from './builder.js';
import { elementwiseToTensorflow } from './kernels/elementwise.js';
import { movementToTensorflow, split } from './kernels/movement.js';
import { networksToTensorflow } from './kernels/networks.js';
import { typeAttr, type NodeDef } from './node-def.js';

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

/** How a graph meets the variables of a session, and other graphs there. */
export interface GraphPlace {
  /** Before the names of the graph's own nodes. */
  readonly prefix: string;
  /** Inputs that are read from the variables of their names, instead of being fed. */
  readonly reads: readonly string[];
  /**
   * Outputs that are assigned to the variables of their names, instead of being fetched: all of
   * them when `assigned` is fetched, one number.
   */
  readonly writes: readonly string[];
}

const alone: GraphPlace = { prefix: '', reads: [], writes: [] };

/** The output that is there when variables are assigned. */
export const assignedPort = 'assigned';

/** The graph as a GraphDef. Throws naming a kernel that has no lowering. */
export function lowerToGraphDef(graph: StepGraph, place = alone): GraphDef {
  const b = new GraphDefBuilder(place.prefix);
  const variables = new Variables(b);
  const values = new Map<ValueId, TensorRef>();
  graph.inputs.forEach(({ name: port, value }, i) => {
    const { shape, dtype } = graph.values[value];
    const name = place.reads.includes(port)
      ? variables.read(port, shape)
      : b.placeholder(`input_${i}`, shape, dtype);
    values.set(value, { name, shape, dtype });
  });
  for (const [value, constant] of graph.constants) {
    const { shape, dtype } = graph.values[value];
    values.set(value, { name: b.constant(shape, dtype, constant), shape, dtype });
  }
  const lowering = { engine: 'TensorFlow', table: tensorflowLowerings };
  lowerNodes(graph, lowering, b, values, (name, value) => ({ name, ...value }));
  const isFed = ({ name }: GraphPort): boolean => !place.reads.includes(name);
  const isFetched = ({ name }: GraphPort): boolean => !place.writes.includes(name);
  const inputs = graph.inputs.filter(isFed).map(({ name, value }) => ({
    port: name,
    ...fetched(values.get(value)!),
  }));
  const outputs = graph.outputs.filter(isFetched).map(({ name, value }) => ({
    port: name,
    pieces: piecesOf(b, values.get(value)!).map(fetched),
  }));
  for (const { name, value } of graph.outputs)
    if (place.writes.includes(name)) variables.assign(name, values.get(value)!);
  if (place.writes.length > 0) outputs.push({ port: assignedPort, pieces: [variables.assigned()] });
  return { nodes: inOrder(b.nodes), inputs, outputs };
}

/**
 * Reads a part of one variable: the inputs `begin` and `size` say which, in values from its start;
 * the only output is named as the variable is.
 */
export function lowerRangeRead(variable: string, floats: number, prefix: string): GraphDef {
  const b = new GraphDefBuilder(prefix);
  const whole = new Variables(b).read(variable, [floats]);
  const one = { shape: [1], dtype: 'int32' } as const;
  const ports = ['begin', 'size'].map((port) => {
    return { port, ...one, name: b.placeholder(port, one.shape, one.dtype) };
  });
  const places = ports.map(({ name }) => name);
  const part = b.op('Slice', [whole, ...places], { Index: typeAttr('int32') });
  const inputs = ports.map((port) => ({ ...port, ...fetched(port) }));
  const pieces = [fetched({ name: part, shape: [-1], dtype: 'float32' })];
  return { nodes: inOrder(b.nodes), inputs, outputs: [{ port: variable, pieces }] };
}

/** The variables of a graph, each with one handle. */
class Variables {
  private readonly handles = new Map<string, string>();
  private readonly assignments: string[] = [];

  constructor(private readonly b: GraphDefBuilder) {}

  read(name: string, shape: readonly number[]): string {
    const attr = { dtype: typeAttr('float32') };
    return this.b.op('ReadVariableOp', [this.handleOf(name, shape)], attr, null);
  }

  assign(name: string, value: TensorRef): void {
    const inputs = [this.handleOf(name, value.shape), value.name];
    const attr = { dtype: typeAttr('float32') };
    this.assignments.push(this.b.op('AssignVariableOp', inputs, attr, null));
  }

  /** A number that is there when everything is assigned. */
  assigned(): TensorRef {
    const after = this.assignments.map((name) => `^${name}`);
    const name = this.b.op('Identity', [this.b.scalar(0), ...after]);
    return fetched({ name, shape: [], dtype: 'float32' });
  }

  private handleOf(name: string, shape: readonly number[]): string {
    const handle = this.handles.get(name) ?? this.b.variable(name, shape);
    this.handles.set(name, handle);
    return handle;
  }
}

/** Several graphs of one session, whose own nodes have different prefixes. */
export function joinGraphDefs(graphs: readonly GraphDef[]): GraphDef {
  const nodes = new Map(graphs.flatMap((graph) => graph.nodes.map((node) => [node.name, node])));
  return {
    nodes: [...nodes.values()],
    inputs: graphs.flatMap(({ inputs }) => inputs),
    outputs: graphs.flatMap(({ outputs }) => outputs),
  };
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
    if (['Const', 'Placeholder', 'VarHandleOp'].includes(node.op)) return node;
    const given = node.input ?? [];
    const after = before === undefined || given.includes(`^${before}`) ? [] : [`^${before}`];
    before = node.name;
    return { ...node, input: [...given, ...after] };
  });
}
