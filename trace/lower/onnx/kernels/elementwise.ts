// Value by value: operands are brought into one physical order (the largest one's), and
// constants of one number stay scalars.

import { sizeOf } from '../../../../shared/layout.js';
import type { DType } from '../../../step-graph.js';
import type { Attributes, OnnxBuilder } from '../builder.js';
import { attribute, input, outputShape, type Lowering } from '../lowering.js';
import { onnxTypes } from '../proto.js';
import {
  broadcastTo,
  filled,
  iota,
  materialize,
  padRank,
  stored,
  toOrder,
  type OnnxValue,
} from '../value.js';

/** Applies an operator with NumPy broadcasting; `shape` is the logical shape of the result. */
export function elementwise(
  b: OnnxBuilder,
  op: string,
  operands: readonly OnnxValue[],
  shape: readonly number[],
  dtype: DType = 'float32',
  attrs: Attributes = {},
): OnnxValue {
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

/** A scalar constant. */
export function scalar(value: number): OnnxValue {
  return filled(value, [], 'float32');
}

const unary =
  (op: string): Lowering =>
  (b, call) =>
    elementwise(b, op, [input(call, 'x')], outputShape(call), call.outputs[0].dtype);

const binary =
  (op: string): Lowering =>
  (b, call) => {
    const operands = [input(call, 'a'), input(call, 'b')];
    return elementwise(b, op, operands, outputShape(call), call.outputs[0].dtype);
  };

const unaryOperators: Readonly<Record<string, string>> = {
  Neg: 'Neg',
  Abs: 'Abs',
  Sign: 'Sign',
  Sqrt: 'Sqrt',
  Reciprocal: 'Reciprocal',
  Exp: 'Exp',
  Log: 'Log',
  Sigmoid: 'Sigmoid',
  Tanh: 'Tanh',
  Softplus: 'Softplus',
  Relu: 'Relu',
  Floor: 'Floor',
  LogicalNot: 'Not',
};

const binaryOperators: Readonly<Record<string, string>> = {
  Add: 'Add',
  Sub: 'Sub',
  Multiply: 'Mul',
  RealDiv: 'Div',
  Maximum: 'Max',
  Minimum: 'Min',
  Pow: 'Pow',
  Greater: 'Greater',
  GreaterEqual: 'GreaterOrEqual',
  Less: 'Less',
  LessEqual: 'LessOrEqual',
  Equal: 'Equal',
  LogicalAnd: 'And',
  LogicalOr: 'Or',
};

const clip: (low: number, high: number) => Lowering = (low, high) => (b, call) =>
  clipped(b, input(call, 'x'), low, high);

function clipped(b: OnnxBuilder, x: OnnxValue, low: number, high: number): OnnxValue {
  return elementwise(b, 'Clip', [x, scalar(low), scalar(high)], x.shape);
}

export const elementwiseLowerings: Readonly<Record<string, Lowering>> = {
  ...Object.fromEntries(Object.entries(unaryOperators).map(([k, op]) => [k, unary(op)])),
  ...Object.fromEntries(Object.entries(binaryOperators).map(([k, op]) => [k, binary(op)])),
  NotEqual: (b, call) => {
    const shape = outputShape(call);
    const same = elementwise(b, 'Equal', [input(call, 'a'), input(call, 'b')], shape, 'bool');
    return elementwise(b, 'Not', [same], shape, 'bool');
  },
  Square: (b, call) => {
    const x = input(call, 'x');
    return elementwise(b, 'Mul', [x, x], x.shape);
  },
  SquaredDifference: (b, call) => {
    const operands = [input(call, 'a'), input(call, 'b')];
    const difference = elementwise(b, 'Sub', operands, outputShape(call));
    return elementwise(b, 'Mul', [difference, difference], outputShape(call));
  },
  Rsqrt: (b, call) => {
    const root = elementwise(b, 'Sqrt', [input(call, 'x')], outputShape(call));
    return elementwise(b, 'Reciprocal', [root], outputShape(call));
  },
  Log1p: (b, call) => {
    const sum = elementwise(b, 'Add', [input(call, 'x'), scalar(1)], outputShape(call));
    return elementwise(b, 'Log', [sum], outputShape(call));
  },
  Relu6: clip(0, 6),
  ClipByValue: (b, call) =>
    clipped(b, input(call, 'x'), attribute<number>(call, 'min'), attribute<number>(call, 'max')),
  Cast: (b, call) => {
    const { dtype } = call.outputs[0];
    const x = input(call, 'x');
    return elementwise(b, 'Cast', [x], outputShape(call), dtype, { to: onnxTypes[dtype] });
  },
  Select: (b, call) => {
    const condition = input(call, 'condition');
    const operands = [condition, input(call, 't'), input(call, 'e')];
    return elementwise(b, 'Where', operands, outputShape(call), call.outputs[0].dtype);
  },
  AddN: (b, call) => {
    const [first, ...rest] = Object.values(call.inputs);
    return rest.reduce((sum, x) => elementwise(b, 'Add', [sum, x], outputShape(call)), first);
  },
  BroadcastTo: (b, call) => broadcastTo(b, input(call, 'x'), outputShape(call)),
};
