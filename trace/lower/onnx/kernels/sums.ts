// Sums: reductions over axes, and matrix products. ONNX Runtime splits a product among threads
// along the longer side of its result, and how it groups the sums depends on how many columns a
// thread gets. So a product with more columns than rows is computed as its transpose, which costs
// nothing: then only rows are split, and the bytes do not depend on the number of threads.

import { attribute, broadcastAxes, input, inputsOf, output } from '../../lowering.js';
import { microsoft, type OnnxBuilder } from '../builder.js';
import {
  filled,
  fullName,
  iota,
  nchw,
  plainName,
  reshape,
  stored,
  toOrder,
  type OnnxLowering,
  type OnnxLowerings,
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
  const product = (list: readonly number[]) => list.reduce((p, axis) => p * value.shape[axis], 1);
  if (value.fill !== undefined) {
    const times = op === 'ReduceSum' ? product(axes) : 1;
    return filled(Math.fround(value.fill * times), withOnes(value.shape, axes), value.dtype);
  }
  const reduced = reduceStored(b, op, value, axes);
  const times = product(axes.filter((axis) => value.stored[axis] === 1));
  if (op !== 'ReduceSum' || times === 1) return reduced;
  return elementwise(b, 'Mul', [reduced, scalar(times)]);
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
  reduced: readonly number[],
): OnnxValue {
  if (reduced.length === 0) return value;
  const axes = reduced.map((axis) => value.order.indexOf(axis)).sort((p, q) => p - q);
  // In opset 17 only ReduceSum takes its axes as an input.
  const name =
    op === 'ReduceSum'
      ? b.emit(op, [value.name, b.int64(axes)], { keepdims: 1 })
      : b.emit(op, [value.name], { axes, keepdims: 1 });
  const [shape, extents] = [withOnes(value.shape, reduced), withOnes(value.stored, reduced)];
  return stored(name, shape, value.dtype, value.order, extents);
}

/** Sums over the axes along which a tensor of `shape` would be broadcast to `value`. */
export function sumTo(b: OnnxBuilder, value: OnnxValue, shape: readonly number[]): OnnxValue {
  return reshape(b, reduce(b, 'ReduceSum', value, broadcastAxes(shape, value.shape)), shape);
}

/** Sum over batch and pixels of [n, h, w, c], a value a channel: [c]. */
export function channelSum(b: OnnxBuilder, x: OnnxValue): OnnxValue {
  return sumTo(b, x, [x.shape[3]]);
}

// A product of rows reads its operands once and writes nothing back; below so many pixels a row
// its calls cost more than the passes they save.
const shortestRow = 512;

/** Sum of x * y over batch and pixels, a value a channel: [c]. Both are [n, h, w, c]. */
export function channelDot(b: OnnxBuilder, x: OnnxValue, y: OnnxValue): OnnxValue {
  const [n, h, w, c] = x.shape;
  if (h * w < shortestRow) return channelSum(b, elementwise(b, 'Mul', [x, y]));
  const rows = [x, y].map((value) =>
    b.emit('Reshape', [fullName(b, value, nchw), b.int64([n, c, 1, h * w])]),
  );
  const dots = b.emit('FusedMatMul', rows, { transA: 0, transB: 1 }, microsoft);
  const each = stored(dots, [n, 1, 1, c], 'float32', nchw);
  return reshape(b, reduce(b, 'ReduceSum', each, [0]), [c]);
}

const reduction =
  (op: Reduction): OnnxLowering =>
  (b, call) => {
    const x = input(call, 'x');
    return reshape(b, reduce(b, op, x, attribute(call, 'axes')), output(call).shape);
  };

/** A matrix, or a stack of them, and whether it is meant transposed. */
interface Factor {
  readonly name: string;
  readonly isTransposed: boolean;
}

/** The product a * b by ONNX Runtime's own operator; transposition comes free. */
export function multiply(b: OnnxBuilder, left: Factor, right: Factor): string {
  const [transA, transB] = [left, right].map(({ isTransposed }) => (isTransposed ? 1 : 0));
  return b.emit('FusedMatMul', [left.name, right.name], { transA, transB }, microsoft);
}

const transposed = ({ name, isTransposed }: Factor): Factor => ({
  name,
  isTransposed: !isTransposed,
});

/** The product of matrices, or of equal stacks of them, as a value of `shape`. */
function product(b: OnnxBuilder, left: Factor, right: Factor, shape: readonly number[]): OnnxValue {
  const rank = shape.length;
  const swapped = [...iota(rank - 2), rank - 1, rank - 2];
  if (!b.forRuntime) {
    const names = [left, right].map(({ name, isTransposed }) =>
      isTransposed ? b.emit('Transpose', [name], { perm: swapped }) : name,
    );
    return stored(b.emit('MatMul', names), shape, 'float32');
  }
  if (shape[rank - 2] >= shape[rank - 1]) return stored(multiply(b, left, right), shape, 'float32');
  return stored(multiply(b, transposed(right), transposed(left)), shape, 'float32', swapped);
}

export const sumsToOnnx: OnnxLowerings = {
  Sum: reduction('ReduceSum'),
  Mean: reduction('ReduceMean'),
  Max: reduction('ReduceMax'),
  Min: reduction('ReduceMin'),
  BatchMatMul: (b, call) => {
    const [x, y] = inputsOf(call, 'a', 'b');
    const left = { name: plainName(b, x), isTransposed: attribute<boolean>(call, 'transposeA') };
    const right = { name: plainName(b, y), isTransposed: attribute<boolean>(call, 'transposeB') };
    return product(b, left, right, output(call).shape);
  },
};
