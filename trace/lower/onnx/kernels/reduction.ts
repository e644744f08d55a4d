// Sums and means over axes, in whatever physical order the value has.

import { microsoft, type OnnxBuilder } from '../builder.js';
import { attribute, input, outputShape, type Lowering } from '../lowering.js';
import {
  broadcastTo,
  filled,
  fullName,
  iota,
  nchw,
  reshape,
  stored,
  type OnnxValue,
} from '../value.js';
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

// A product of rows reads its operands once and writes nothing back; below so many pixels a row
// its calls cost more than the passes they save.
const shortestRow = 512;

/** Sum of x * y over batch and pixels, a value a channel: [c]. Both are [n, h, w, c]. */
export function channelDot(b: OnnxBuilder, x: OnnxValue, y: OnnxValue): OnnxValue {
  const [n, h, w, c] = x.shape as [number, number, number, number];
  const pixels = [0, 1, 2];
  if (h * w < shortestRow) {
    const product = elementwise(b, 'Mul', [x, y], x.shape);
    return reshape(b, reduce(b, 'ReduceSum', product, pixels), [c]);
  }
  const rows = [x, y].map((value) =>
    b.emit('Reshape', [fullName(b, value, nchw), b.int64([n, c, 1, h * w])]),
  );
  const dots = b.emit('FusedMatMul', rows, { transA: 0, transB: 1 }, microsoft);
  const sums = b.emit('ReduceSum', [dots, b.int64([0])], { keepdims: 1 });
  return stored(b.emit('Reshape', [sums, b.int64([c])]), [c], 'float32');
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
