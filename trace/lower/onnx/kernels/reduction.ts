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
  toOrder,
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
  const shape = withOnes(value.shape, axes);
  const product = (list: readonly number[]) => list.reduce((p, axis) => p * value.shape[axis], 1);
  if (value.fill !== undefined) {
    const times = op === 'ReduceSum' ? product(axes) : 1;
    return filled(Math.fround(value.fill * times), shape, value.dtype);
  }
  const reduced = reduceStored(b, op, value, axes);
  const times = product(axes.filter((axis) => value.stored[axis] === 1));
  if (op !== 'ReduceSum' || times === 1) return reduced;
  return elementwise(b, 'Mul', [reduced, scalar(times)], shape);
}

function withOnes(extents: readonly number[], axes: readonly number[]): number[] {
  return extents.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
}

/**
 * Reduces what is stored: first the axes that lie last, then the others, brought to the end. Only
 * for the last axes does ONNX Runtime group a sum the same way whatever the number of threads.
 */
function reduceStored(
  b: OnnxBuilder,
  op: Reduction,
  value: OnnxValue,
  axes: readonly number[],
): OnnxValue {
  const isReduced = (axis: number) => axes.includes(axis) && value.stored[axis] !== 1;
  const isIdle = (axis: number) => value.stored[axis] === 1;
  const firstLast = value.order.findLastIndex((axis) => !isReduced(axis) && !isIdle(axis)) + 1;
  const last = value.order.slice(firstLast).filter(isReduced);
  const others = value.order.slice(0, firstLast).filter(isReduced);
  const once = reduceLast(b, op, value, last);
  const order = [...value.order.filter((axis) => !others.includes(axis)), ...others];
  const twice = others.length === 0 ? once : reduceLast(b, op, toOrder(b, once, order), others);
  return { ...twice, shape: withOnes(value.shape, axes) };
}

/** Reduces axes of which no other is stored behind. */
function reduceLast(
  b: OnnxBuilder,
  op: Reduction,
  value: OnnxValue,
  axes: readonly number[],
): OnnxValue {
  if (axes.length === 0) return value;
  const at = axes.map((axis) => value.order.indexOf(axis)).sort((p, q) => p - q);
  const name = emitReduction(b, op, value.name, at);
  const extents = withOnes(value.stored, axes);
  return stored(name, withOnes(value.shape, axes), value.dtype, value.order, extents);
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
  const each = stored(dots, [n, 1, 1, c], 'float32', nchw);
  return reshape(b, reduce(b, 'ReduceSum', each, [0]), [c]);
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
