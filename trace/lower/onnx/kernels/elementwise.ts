// Value by value: operands are brought into one physical order (the largest one's), and constants
// of one number stay scalars.

import { sizeOf } from '../../../../shared/layout.js';
import type { DType } from '../../../step-graph.js';
import { attribute, input, inputsOf, output } from '../../lowering.js';
import type { OnnxBuilder } from '../builder.js';
import { onnxTypes, type OnnxAttributes } from '../proto.js';
import {
  broadcastTo,
  filled,
  iota,
  materialize,
  padRank,
  stored,
  toOrder,
  type OnnxLowering,
  type OnnxLowerings,
  type OnnxValue,
} from '../value.js';

/** Applies an operator with NumPy broadcasting. */
export function elementwise(
  b: OnnxBuilder,
  op: string,
  operands: readonly OnnxValue[],
  dtype: DType = 'float32',
  attrs: OnnxAttributes = {},
): OnnxValue {
  const shape = broadcastShape(operands);
  const given = operands.every((value) => value.fill !== undefined)
    ? operands.map((value) => materialize(b, value))
    : operands;
  const padded = given.map((v) => (v.fill === undefined ? padRank(b, v, shape.length) : v));
  const tensors = padded.filter((value) => value.fill === undefined);
  const largest = tensors.reduce((a, c) => (sizeOf(c.stored) > sizeOf(a.stored) ? c : a));
  const extents = iota(shape.length).map((axis) => Math.max(...tensors.map((v) => v.stored[axis])));
  const names = padded.map((value) =>
    value.fill === undefined
      ? toOrder(b, value, largest.order).name
      : b.constant([], value.dtype, [value.fill]),
  );
  return stored(b.emit(op, names, attrs), shape, dtype, largest.order, extents);
}

function broadcastShape(operands: readonly OnnxValue[]): number[] {
  const rank = Math.max(...operands.map(({ shape }) => shape.length));
  return iota(rank).map((axis) =>
    Math.max(...operands.map(({ shape }) => shape.at(axis - rank) ?? 1)),
  );
}

/** A scalar constant. */
export function scalar(value: number): OnnxValue {
  return filled(value, [], 'float32');
}

const plain =
  (op: string, ...names: string[]): OnnxLowering =>
  (b, call) =>
    elementwise(b, op, inputsOf(call, ...names), output(call).dtype);

/** Operators that are named otherwise than the kernel. */
const otherNames: Readonly<Record<string, string>> = {
  ...{ LogicalNot: 'Not', LogicalAnd: 'And', LogicalOr: 'Or', Multiply: 'Mul', RealDiv: 'Div' },
  ...{ Maximum: 'Max', Minimum: 'Min', GreaterEqual: 'GreaterOrEqual', LessEqual: 'LessOrEqual' },
};

const all = (kernels: readonly string[], ...inputs: string[]): OnnxLowerings =>
  Object.fromEntries(kernels.map((k) => [k, plain(otherNames[k] ?? k, ...inputs)]));

const clipped = (b: OnnxBuilder, x: OnnxValue, low: number, high: number): OnnxValue =>
  elementwise(b, 'Clip', [x, scalar(low), scalar(high)]);

export const elementwiseToOnnx: OnnxLowerings = {
  ...all(['Neg', 'Abs', 'Sign', 'Sqrt', 'Reciprocal', 'Exp', 'Log', 'Sigmoid', 'Tanh'], 'x'),
  ...all(['Softplus', 'Relu', 'Floor', 'LogicalNot'], 'x'),
  ...all(['Add', 'Sub', 'Multiply', 'RealDiv', 'Maximum', 'Minimum', 'Pow'], 'a', 'b'),
  ...all(['Greater', 'GreaterEqual', 'Less', 'LessEqual', 'Equal'], 'a', 'b'),
  ...all(['LogicalAnd', 'LogicalOr'], 'a', 'b'),
  NotEqual: (b, call) => {
    const isSame = elementwise(b, 'Equal', inputsOf(call, 'a', 'b'), 'bool');
    return elementwise(b, 'Not', [isSame], 'bool');
  },
  Square: (b, call) => elementwise(b, 'Mul', inputsOf(call, 'x', 'x')),
  SquaredDifference: (b, call) => {
    const difference = elementwise(b, 'Sub', inputsOf(call, 'a', 'b'));
    return elementwise(b, 'Mul', [difference, difference]);
  },
  Rsqrt: (b, call) => elementwise(b, 'Reciprocal', [elementwise(b, 'Sqrt', inputsOf(call, 'x'))]),
  Log1p: (b, call) => elementwise(b, 'Log', [elementwise(b, 'Add', [input(call, 'x'), scalar(1)])]),
  Relu6: (b, call) => clipped(b, input(call, 'x'), 0, 6),
  ClipByValue: (b, call) =>
    clipped(b, input(call, 'x'), attribute(call, 'min'), attribute(call, 'max')),
  Cast: (b, call) => {
    const { dtype } = output(call);
    return elementwise(b, 'Cast', inputsOf(call, 'x'), dtype, { to: onnxTypes[dtype] });
  },
  Select: plain('Where', 'condition', 't', 'e'),
  AddN: (b, call) => {
    const [first, ...rest] = Object.values(call.inputs);
    return rest.reduce((sum, x) => elementwise(b, 'Add', [sum, x]), first);
  },
  BroadcastTo: (b, call) => broadcastTo(b, input(call, 'x'), output(call).shape),
};
