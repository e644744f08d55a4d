// Rewritings of one node that hold on every engine: what does nothing is an alias of its input,
// what is known is a constant. A rule sees the node with its inputs already rewritten.
// x * 0 becomes 0 although NaN * 0 is NaN: gradients of masked branches rely on it.

import { sizeOf } from '../../shared/layout.js';
import type { GraphConstant, GraphNode, GraphValue, ValueId } from '../step-graph.js';
import { foldFills } from './folding.js';

/** What becomes of a node. */
export type Rewrite =
  | { readonly kind: 'keep'; readonly node: GraphNode }
  | { readonly kind: 'alias'; readonly value: ValueId }
  | { readonly kind: 'fill'; readonly value: number };

/** What a rule may look at. */
export interface RuleView {
  value(id: ValueId): GraphValue;
  constant(id: ValueId): GraphConstant | undefined;
  /** The node that writes a value, if one does. */
  producer(id: ValueId): GraphNode | undefined;
}

/** Rewrites one node by the first rule that fits. */
export function rewrite(node: GraphNode, view: RuleView): Rewrite {
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
    (node.kernel === 'Transpose' && isIdentity(node.attrs['perm'] as number[]));
  return isIdle ? { kind: 'alias', value: source } : undefined;
}

function knownFill(node: GraphNode, view: RuleView): Rewrite | undefined {
  if (['Fill', 'ZerosLike', 'OnesLike'].includes(node.kernel))
    return { kind: 'fill', value: node.attrs['value'] as number };
  const inputs = Object.values(node.inputs);
  const fills = inputs.map((id) => fillOf(id, view));
  if (inputs.length === 0 || fills.some((value) => value === undefined)) return undefined;
  const output = view.value(node.outputs[0]);
  if (node.kernel === 'Cast' && output.dtype === 'float32')
    return { kind: 'fill', value: fills[0] as number };
  const counted = sizeOf(view.value(inputs[0]).shape) / Math.max(1, sizeOf(output.shape));
  const value = foldFills(node.kernel, fills as number[], counted);
  return value === undefined ? undefined : { kind: 'fill', value };
}

/** x + 0, x - 0, x * 1, x / 1 are x, broadcast to the output's shape; x * 0 is 0. */
function neutralOperand(node: GraphNode, view: RuleView): Rewrite | undefined {
  const { a, b } = node.inputs;
  if (a === undefined || b === undefined) return undefined;
  const [left, right] = [fillOf(a, view), fillOf(b, view)];
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
  const kept = { kernel: 'BroadcastTo', inputs: { x: source }, outputs: [output], attrs: {} };
  return { kind: 'keep', node: kept };
}

function reshapeOfReshape(node: GraphNode, view: RuleView): Rewrite | undefined {
  if (node.kernel !== 'Reshape' && node.kernel !== 'ExpandDims') return undefined;
  let source = Object.values(node.inputs)[0];
  for (let before = view.producer(source); before?.kernel === 'Reshape';)
    before = view.producer((source = before.inputs['x']));
  const { shape } = view.value(node.outputs[0]);
  if (equalShapes(view.value(source).shape, shape)) return { kind: 'alias', value: source };
  const kept = { kernel: 'Reshape', inputs: { x: source }, outputs: node.outputs, attrs: {} };
  return { kind: 'keep', node: kept };
}

function fillOf(id: ValueId, view: RuleView): number | undefined {
  const constant = view.constant(id);
  return constant?.kind === 'fill' ? constant.value : undefined;
}

function isIdentity(perm: readonly number[]): boolean {
  return perm.every((axis, i) => axis === i);
}

function equalShapes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, i) => extent === b[i]);
}
