// Simplifies a step graph without changing what it computes, whatever engine runs it: one pass
// forward with the rules below, where nodes that compute the same are shared; then everything that
// no output needs is dropped.

import { sizeOf } from '../shared/layout.js';
import {
  equalShapes,
  type GraphConstant,
  type GraphNode,
  type GraphValue,
  type StepGraph,
  type ValueId,
} from './step-graph.js';

/** The same function as `graph` with fewer nodes; inputs and outputs keep names and order. */
export function simplify(graph: StepGraph): StepGraph {
  return dropUnused(rewriteForward(graph));
}

function rewriteForward(graph: StepGraph): StepGraph {
  const constants = new Map(graph.constants);
  const producers = new Map<ValueId, GraphNode>();
  const aliases = new Map<ValueId, ValueId>();
  const known = new Map<string, readonly ValueId[]>();
  const nodes: GraphNode[] = [];
  const resolve = (id: ValueId): ValueId => aliases.get(id) ?? id;
  const view: RuleView = {
    value: (id) => graph.values[id],
    fill: (id) => {
      const constant = constants.get(id);
      return constant?.kind === 'fill' ? constant.value : undefined;
    },
    producer: (id) => producers.get(id),
  };
  shareConstants(graph, aliases);
  for (const original of graph.nodes) {
    const entries = Object.entries(original.inputs).map(([name, id]) => [name, resolve(id)]);
    const resolved = Object.fromEntries(entries) as Record<string, ValueId>;
    const result = rewrite({ ...original, inputs: resolved }, view);
    const output = original.outputs[0];
    if (result.kind === 'alias') {
      aliases.set(output, result.value);
    } else if (result.kind === 'fill') {
      constants.set(output, { kind: 'fill', value: result.value });
    } else {
      const { kernel, inputs, attrs, outputs } = result.node;
      const key = JSON.stringify([kernel, inputs, attrs, outputs.map((id) => graph.values[id])]);
      const earlier = known.get(key);
      if (earlier) {
        original.outputs.forEach((id, i) => aliases.set(id, earlier[i]));
        continue;
      }
      known.set(key, outputs);
      outputs.forEach((id) => producers.set(id, result.node));
      nodes.push(result.node);
    }
  }
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value: resolve(value) }));
  return { ...graph, constants, nodes, outputs };
}

/** Constants that hold the same become one value. */
function shareConstants(graph: StepGraph, aliases: Map<ValueId, ValueId>): void {
  const known = new Map<string, ValueId>();
  for (const [id, constant] of graph.constants) {
    const value = graph.values[id];
    const content = contentOf(constant);
    if (content === undefined) continue;
    const key = `${value.dtype} ${value.shape.join('x')} ${content}`;
    const earlier = known.get(key);
    if (earlier === undefined) known.set(key, id);
    else aliases.set(id, earlier);
  }
}

const largestSharedConstant = 4096;

function contentOf(constant: GraphConstant): string | undefined {
  if (constant.kind === 'fill') return `fill ${constant.value}`;
  return constant.data.length <= largestSharedConstant ? constant.data.join() : undefined;
}

/** Drops unneeded nodes and values, and numbers the rest anew; inputs always stay. */
export function dropUnused(graph: StepGraph): StepGraph {
  const needed = new Set(graph.outputs.map(({ value }) => value));
  const kept: GraphNode[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((id) => needed.has(id))) continue;
    kept.push(node);
    Object.values(node.inputs).forEach((id) => needed.add(id));
    node.outputs.forEach((id) => needed.add(id));
  }
  graph.inputs.forEach(({ value }) => needed.add(value));
  const ids = [...needed].sort((a, b) => a - b);
  const renumbered = new Map(ids.map((id, i) => [id, i]));
  const at = (id: ValueId): ValueId => renumbered.get(id)!;
  return {
    values: ids.map((id) => graph.values[id]),
    constants: new Map(
      [...graph.constants].filter(([id]) => needed.has(id)).map(([id, c]) => [at(id), c]),
    ),
    inputs: graph.inputs.map(({ name, value }) => ({ name, value: at(value) })),
    outputs: graph.outputs.map(({ name, value }) => ({ name, value: at(value) })),
    nodes: kept.reverse().map((node) => ({
      ...node,
      inputs: Object.fromEntries(Object.entries(node.inputs).map(([k, id]) => [k, at(id)])),
      outputs: node.outputs.map(at),
    })),
  };
}

/** What becomes of a node. */
type Rewrite =
  | { readonly kind: 'keep'; readonly node: GraphNode }
  | { readonly kind: 'alias'; readonly value: ValueId }
  | { readonly kind: 'fill'; readonly value: number };

/** What a rule may look at. */
interface RuleView {
  readonly value: (id: ValueId) => GraphValue;
  /** The number that fills a value, if that is known. */
  readonly fill: (id: ValueId) => number | undefined;
  /** The node that writes a value, if one does. */
  readonly producer: (id: ValueId) => GraphNode | undefined;
}

/**
 * Rewrites one node, whose inputs are rewritten already, by the first rule that fits: what does
 * nothing is an alias of its input, what is known is a constant.
 */
function rewrite(node: GraphNode, view: RuleView): Rewrite {
  for (const rule of [nothingToDo, knownFill, neutralOperand, reshapeOfReshape]) {
    const result = rule(node, view);
    if (result !== undefined) return result;
  }
  return { kind: 'keep', node };
}

const shapePreserving = new Set(['Reshape', 'ExpandDims', 'BroadcastTo', 'Tile', 'Slice', 'PadV2']);

function nothingToDo(node: GraphNode, view: RuleView): Rewrite | undefined {
  const source = Object.values(node.inputs)[0];
  if (source === undefined) return undefined;
  const [from, to] = [view.value(source), view.value(node.outputs[0])];
  const same = equalShapes(from.shape, to.shape) && from.dtype === to.dtype;
  const isIdle =
    node.kernel === 'Identity' ||
    (same && node.kernel === 'Cast') ||
    (same && shapePreserving.has(node.kernel)) ||
    (node.kernel === 'Transpose' &&
      (node.attrs['perm'] as number[]).every((axis, i) => axis === i));
  return isIdle ? { kind: 'alias', value: source } : undefined;
}

function knownFill(node: GraphNode, view: RuleView): Rewrite | undefined {
  if (['Fill', 'ZerosLike', 'OnesLike'].includes(node.kernel))
    return { kind: 'fill', value: node.attrs['value'] as number };
  const inputs = Object.values(node.inputs);
  const fills = inputs.map(view.fill);
  if (inputs.length === 0 || fills.some((value) => value === undefined)) return undefined;
  const output = view.value(node.outputs[0]);
  if (node.kernel === 'Cast' && output.dtype === 'float32')
    return { kind: 'fill', value: fills[0] as number };
  const counted = sizeOf(view.value(inputs[0]).shape) / Math.max(1, sizeOf(output.shape));
  const value = foldFills(node.kernel, fills as number[], counted);
  return value === undefined ? undefined : { kind: 'fill', value };
}

/**
 * x + 0, x - 0, x * 1, x / 1 are x, broadcast to the output's shape. x * 0 is 0 although NaN * 0 is
 * NaN: gradients of masked branches rely on it.
 */
function neutralOperand(node: GraphNode, view: RuleView): Rewrite | undefined {
  const { a, b } = node.inputs;
  if (a === undefined || b === undefined) return undefined;
  const [left, right] = [view.fill(a), view.fill(b)];
  const { kernel } = node;
  if (kernel === 'Multiply' && (left === 0 || right === 0)) return { kind: 'fill', value: 0 };
  const isLeft = (kernel === 'Multiply' && left === 1) || (kernel === 'Add' && left === 0);
  if (isLeft) return broadcast(b, node, view);
  const isRight =
    ((kernel === 'Multiply' || kernel === 'RealDiv') && right === 1) ||
    ((kernel === 'Add' || kernel === 'Sub') && right === 0);
  return isRight ? broadcast(a, node, view) : undefined;
}

function broadcast(source: ValueId, node: GraphNode, view: RuleView): Rewrite {
  const output = node.outputs[0];
  if (equalShapes(view.value(source).shape, view.value(output).shape))
    return { kind: 'alias', value: source };
  return keep('BroadcastTo', source, node);
}

function reshapeOfReshape(node: GraphNode, view: RuleView): Rewrite | undefined {
  if (node.kernel !== 'Reshape' && node.kernel !== 'ExpandDims') return undefined;
  let source = Object.values(node.inputs)[0];
  for (let before = view.producer(source); before?.kernel === 'Reshape';)
    before = view.producer((source = before.inputs['x']));
  const { shape } = view.value(node.outputs[0]);
  if (equalShapes(view.value(source).shape, shape)) return { kind: 'alias', value: source };
  return keep('Reshape', source, node);
}

/** Another kernel, of one input and without attributes, in the place of a node. */
function keep(kernel: string, x: ValueId, { outputs }: GraphNode): Rewrite {
  return { kind: 'keep', node: { kernel, inputs: { x }, outputs, attrs: {} } };
}

// Folding rounds to float32 after each operation, as the kernels do.
const f = Math.fround;

const unary: Readonly<Record<string, (x: number) => number>> = {
  Neg: (x) => -x,
  Abs: Math.abs,
  Sign: Math.sign,
  Square: (x) => f(x * x),
  Sqrt: (x) => f(Math.sqrt(x)),
  Reciprocal: (x) => f(1 / x),
  Relu: (x) => Math.max(0, x),
  Identity: (x) => x,
  Reshape: (x) => x,
  ExpandDims: (x) => x,
  Transpose: (x) => x,
  Tile: (x) => x,
  BroadcastTo: (x) => x,
  Slice: (x) => x,
};

const binary: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => f(a + b),
  Sub: (a, b) => f(a - b),
  Multiply: (a, b) => f(a * b),
  RealDiv: (a, b) => f(a / b),
  Maximum: Math.max,
  Minimum: Math.min,
  SquaredDifference: (a, b) => f(f(a - b) * f(a - b)),
};

/**
 * The number that fills the output of `kernel` when numbers fill its inputs, in their order;
 * undefined when that is not known. `counted` is how many values one output value sums.
 */
function foldFills(kernel: string, fills: readonly number[], counted: number): number | undefined {
  const [a, b] = fills;
  if (fills.length === 1 && kernel === 'Sum') return f(a * counted);
  if (fills.length === 1 && kernel === 'Mean') return a;
  if (fills.length === 1) return unary[kernel]?.(a);
  if (fills.length === 2) return binary[kernel]?.(a, b);
  return undefined;
}
