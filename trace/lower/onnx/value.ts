// A tensor inside the lowered graph: logically in TF.js's order, physically in any order of axes.
// ONNX's convolutions want channels before pixels, so values stay in whatever order they were
// made in, and are transposed only when a consumer needs another one. Broadcasts stay lazy too.

import { equalShapes, type DType } from '../../step-graph.js';
import type { Lowering, LoweringTable } from '../lowering.js';
import type { OnnxBuilder } from './builder.js';

export interface OnnxValue {
  readonly name: string;
  /** Logical shape. */
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Physical axis i is logical axis order[i]. */
  readonly order: readonly number[];
  /** Logical extents as stored: 1 where the value is still to be broadcast to `shape`. */
  readonly stored: readonly number[];
  /** The number that fills the tensor, for a constant of one number. */
  readonly fill?: number;
}

export type OnnxLowering = Lowering<OnnxBuilder, OnnxValue>;
export type OnnxLowerings = LoweringTable<OnnxBuilder, OnnxValue>;

/** The order of pixels that ONNX's operators ask for, in terms of NHWC. */
export const nchw = [0, 3, 1, 2] as const;

/** [0, 1, ..., n - 1] */
export function iota(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** A value as stored under `name`; in logical order and not lazy unless said otherwise. */
export function stored(
  name: string,
  shape: readonly number[],
  dtype: DType,
  order: readonly number[] = iota(shape.length),
  extents: readonly number[] = shape,
): OnnxValue {
  return { name, shape, dtype, order, stored: extents };
}

/** A constant of one number. */
export function filled(fill: number, shape: readonly number[], dtype: DType): OnnxValue {
  const ones = shape.map(() => 1);
  return { name: '', shape, dtype, order: iota(shape.length), stored: ones, fill };
}

/** The stored extents in physical order. */
export function physical(value: OnnxValue): number[] {
  return value.order.map((axis) => value.stored[axis]);
}

/** The name of `value` under other extents of the same size. */
export function reshapeName(
  b: OnnxBuilder,
  name: string,
  from: readonly number[],
  to: readonly number[],
): string {
  return equalShapes(from, to) ? name : b.emit('Reshape', [name, b.int64(to)]);
}

/** The value in another physical order (still lazy where it was). */
export function toOrder(b: OnnxBuilder, given: OnnxValue, order: readonly number[]): OnnxValue {
  const value = given.fill === undefined ? given : unfilled(b, given);
  if (equalShapes(value.order, order)) return value;
  const moving = (axes: readonly number[]) => axes.filter((axis) => value.stored[axis] !== 1);
  const extents = order.map((axis) => value.stored[axis]);
  const name = equalShapes(moving(value.order), moving(order))
    ? reshapeName(b, value.name, physical(value), extents)
    : b.emit('Transpose', [value.name], { perm: order.map((axis) => value.order.indexOf(axis)) });
  return stored(name, value.shape, value.dtype, order, value.stored);
}

/** The value with no broadcast left to do. */
export function materialize(b: OnnxBuilder, given: OnnxValue): OnnxValue {
  const value = given.fill === undefined ? given : unfilled(b, given);
  if (equalShapes(value.stored, value.shape)) return value;
  const extents = value.order.map((axis) => value.shape[axis]);
  const name = b.emit('Expand', [value.name, b.int64(extents)]);
  return stored(name, value.shape, value.dtype, value.order);
}

/** The name of the whole value in the given physical order. */
export function fullName(b: OnnxBuilder, value: OnnxValue, order: readonly number[]): string {
  return toOrder(b, materialize(b, value), order).name;
}

/** The name of the whole value in its logical order. */
export function plainName(b: OnnxBuilder, value: OnnxValue): string {
  return fullName(b, value, iota(value.shape.length));
}

/** A constant of one number as a stored tensor of one value. */
function unfilled(b: OnnxBuilder, value: OnnxValue): OnnxValue {
  const ones = value.shape.map(() => 1);
  const name = b.constant(ones, value.dtype, [value.fill!]);
  return stored(name, value.shape, value.dtype, iota(ones.length), ones);
}

/** The value under `rank` axes, by new leading axes of extent 1. */
export function padRank(b: OnnxBuilder, value: OnnxValue, rank: number): OnnxValue {
  const missing = rank - value.shape.length;
  if (missing === 0) return value;
  const ones = new Array<number>(missing).fill(1);
  if (value.fill !== undefined) return filled(value.fill, [...ones, ...value.shape], value.dtype);
  const plain = toOrder(b, value, iota(value.shape.length));
  const extents = [...ones, ...plain.stored];
  const name = reshapeName(b, plain.name, plain.stored, extents);
  return stored(name, [...ones, ...value.shape], value.dtype, iota(rank), extents);
}

/** The value seen at a shape it can be broadcast to; nothing is computed. */
export function broadcastTo(b: OnnxBuilder, value: OnnxValue, shape: readonly number[]): OnnxValue {
  if (value.fill !== undefined) return filled(value.fill, shape, value.dtype);
  return { ...padRank(b, value, shape.length), shape };
}

/** The value under another logical shape of the same size. */
export function reshape(b: OnnxBuilder, value: OnnxValue, shape: readonly number[]): OnnxValue {
  if (equalShapes(shape, value.shape)) return value;
  if (value.fill !== undefined) return filled(value.fill, shape, value.dtype);
  const axes = (extents: readonly number[]) =>
    iota(extents.length).filter((axis) => extents[axis] !== 1);
  const [from, to] = [axes(value.shape), axes(shape)];
  const [before, after] = [from.map((a) => value.shape[a]), to.map((a) => shape[a])];
  if (equalShapes(before, after)) return moveOnes(b, value, shape, from, to);
  const plain = plainName(b, value);
  return stored(reshapeName(b, plain, value.shape, shape), shape, value.dtype);
}

/** A reshape by which only axes of extent 1 come or go: order and laziness survive. */
function moveOnes(
  b: OnnxBuilder,
  value: OnnxValue,
  shape: readonly number[],
  from: readonly number[],
  to: readonly number[],
): OnnxValue {
  const extents = shape.map(() => 1);
  to.forEach((axis, i) => (extents[axis] = value.stored[from[i]]));
  const moved = value.order.filter((a) => value.shape[a] !== 1).map((a) => to[from.indexOf(a)]);
  const ones = iota(shape.length).filter((axis) => shape[axis] === 1);
  const order = equalShapes(moved, to) ? iota(shape.length) : [...ones, ...moved];
  const physicalTo = order.map((axis) => extents[axis]);
  const name = reshapeName(b, value.name, physical(value), physicalTo);
  return stored(name, shape, value.dtype, order, extents);
}
