// Sums and means over axes, in whatever physical order the value has.

import type { OnnxBuilder } from '../builder.js';
import { attribute, input, outputShape, type Lowering } from '../lowering.js';
import { broadcastTo, filled, iota, reshape, stored, type OnnxValue } from '../value.js';
import { elementwise, scalar } from './elementwise.js';

type Reduction = 'ReduceSum' | 'ReduceMean' | 'ReduceMax' | 'ReduceMin';

/** Reduces over logical axes; the result keeps them with extent 1. */
export function reduce(
  b: OnnxBuilder,
  op: Reduction,
  value: OnnxValue,
  axes: readonly number[],
): OnnxValue {
  const over = (extents: readonly number[]) =>
    extents.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
  const shape = over(value.shape);
  const product = (list: readonly number[]) => list.reduce((p, axis) => p * value.shape[axis]!, 1);
  if (value.fill !== undefined) {
    const times = op === 'ReduceSum' ? product(axes) : 1;
    return filled(Math.fround(value.fill * times), shape, value.dtype);
  }
  const real = axes.filter((axis) => value.stored[axis] !== 1);
  const at = real.map((axis) => value.order.indexOf(axis)).sort((p, q) => p - q);
  const name = at.length === 0 ? value.name : emitReduction(b, op, value.name, at);
  const reduced = stored(name, shape, value.dtype, value.order, over(value.stored));
  const times = product(axes.filter((axis) => value.stored[axis] === 1));
  if (op !== 'ReduceSum' || times === 1) return reduced;
  return elementwise(b, 'Mul', [reduced, scalar(times)], shape);
}

// In opset 17 only ReduceSum takes its axes as an input.
function emitReduction(b: OnnxBuilder, op: Reduction, name: string, axes: number[]): string {
  if (op === 'ReduceSum') return b.emit(op, [name, b.int64(axes)], { keepdims: 1 });
  return b.emit(op, [name], { axes, keepdims: 1 });
}

/** Sums over the axes along which a tensor of `shape` would be broadcast to `value`. */
export function sumTo(b: OnnxBuilder, value: OnnxValue, shape: readonly number[]): OnnxValue {
  const missing = value.shape.length - shape.length;
  const axes = iota(value.shape.length).filter(
    (axis) => axis < missing || (shape[axis - missing] === 1 && value.shape[axis] !== 1),
  );
  return reshape(b, reduce(b, 'ReduceSum', value, axes), shape);
}

const reduction =
  (op: Reduction): Lowering =>
  (b, call) => {
    const axes = attribute<readonly number[]>(call, 'axes');
    return reshape(b, reduce(b, op, input(call, 'x'), axes), outputShape(call));
  };

export const reductionLowerings: Readonly<Record<string, Lowering>> = {
  Sum: reduction('ReduceSum'),
  Mean: reduction('ReduceMean'),
  Max: (b, call) => {
    const x = input(call, 'x');
    return reduction('ReduceMax')(b, { ...call, inputs: { x: broadcastTo(b, x, x.shape) } });
  },
  Min: reduction('ReduceMin'),
};
