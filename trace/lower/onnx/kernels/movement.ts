// Kernels that move values: transposition costs nothing here (only the order's names change).

import { attribute, input, outputShape, type KernelCall, type Lowering } from '../lowering.js';
import type { OnnxBuilder } from '../builder.js';
import {
  broadcastTo,
  filled,
  fullName,
  nchw,
  plainName,
  reshape,
  stored,
  type OnnxValue,
} from '../value.js';

/** The end of an axis, whatever its extent. */
const toTheEnd = 2 ** 31 - 1;

const transpose: Lowering = (_b, call) => {
  const x = input(call, 'x');
  const perm = attribute<readonly number[]>(call, 'perm');
  const pick = (extents: readonly number[]) => perm.map((axis) => extents[axis]);
  if (x.fill !== undefined) return filled(x.fill, pick(x.shape), x.dtype);
  const order = x.order.map((axis) => perm.indexOf(axis));
  return stored(x.name, pick(x.shape), x.dtype, order, pick(x.stored));
};

/**
 * Cuts [begin, begin + size) out of every axis. A place in the second half of an axis is counted
 * from its end, so that the node does not name the axis' extent.
 */
export function slice(
  b: OnnxBuilder,
  x: OnnxValue,
  begin: readonly number[],
  size: readonly number[],
): OnnxValue {
  const cut = x.order
    .map((axis, at) => ({ axis, at }))
    .filter(({ axis }) => size[axis] !== x.shape[axis]);
  if (cut.length === 0) return x;
  if (x.fill !== undefined) return filled(x.fill, size, x.dtype);
  const place = (position: number, extent: number) =>
    position > extent / 2 ? position - extent : position;
  const starts = cut.map(({ axis }) => place(begin[axis], x.shape[axis]));
  const ends = cut.map(({ axis }) => {
    const end = begin[axis] + size[axis];
    return end === x.shape[axis] ? toTheEnd : place(end, x.shape[axis]);
  });
  const axes = cut.map(({ at }) => at);
  const whole = fullName(b, x, x.order);
  const name = b.emit('Slice', [whole, b.int64(starts), b.int64(ends), b.int64(axes)]);
  return stored(name, size, x.dtype, x.order);
}

const split: Lowering = (b, call) => {
  const x = input(call, 'x');
  const axis = attribute<number>(call, 'axis');
  let at = 0;
  return call.outputs.map(({ shape }) => {
    const begin = x.shape.map((_, i) => (i === axis ? at : 0));
    at += shape[axis];
    return slice(b, x, begin, shape);
  });
};

const concat: Lowering = (b, call) => {
  const all = Object.values(call.inputs);
  const { order } = all.find((value) => value.fill === undefined) ?? all[0];
  const axis = order.indexOf(attribute<number>(call, 'axis'));
  const names = all.map((value) => fullName(b, value, order));
  const { shape, dtype } = call.outputs[0];
  return stored(b.emit('Concat', names, { axis }), shape, dtype, order);
};

type Paddings = readonly (readonly [number, number])[];

function pads(call: KernelCall, order: readonly number[]): number[] {
  const paddings = attribute<Paddings>(call, 'paddings');
  return [...order.map((axis) => paddings[axis][0]), ...order.map((axis) => paddings[axis][1])];
}

const padConstant: Lowering = (b, call) => {
  const x = input(call, 'x');
  const value = b.constant([], x.dtype, [attribute<number>(call, 'value')]);
  const inputs = [fullName(b, x, x.order), b.int64(pads(call, x.order)), value];
  return stored(b.emit('Pad', inputs, { mode: 'constant' }), outputShape(call), x.dtype, x.order);
};

const padMirror: Lowering = (b, call) => {
  if (attribute<string>(call, 'mode') !== 'reflect')
    throw new Error('MirrorPad with mode "symmetric" has no lowering to ONNX; use "reflect"');
  const x = input(call, 'x');
  const inputs = [fullName(b, x, x.order), b.int64(pads(call, x.order))];
  return stored(b.emit('Pad', inputs, { mode: 'reflect' }), outputShape(call), x.dtype, x.order);
};

const tile: Lowering = (b, call) => {
  const x = input(call, 'x');
  const reps = attribute<readonly number[]>(call, 'reps');
  const shape = outputShape(call);
  if (x.shape.every((extent, axis) => extent === 1 || reps[axis] === 1))
    return broadcastTo(b, x, shape);
  return stored(b.emit('Tile', [plainName(b, x), b.int64(reps)]), shape, x.dtype);
};

const blocks =
  (op: string, attrs: Record<string, string>): Lowering =>
  (b, call) => {
    const blocksize = attribute<number>(call, 'block');
    const name = b.emit(op, [fullName(b, input(call, 'x'), nchw)], { blocksize, ...attrs });
    return stored(name, outputShape(call), 'float32', nchw);
  };

const restore: Lowering = (b, call) => {
  const [x] = Object.values(call.inputs);
  return reshape(b, x, outputShape(call));
};

export const movementLowerings: Readonly<Record<string, Lowering>> = {
  Identity: (_b, call) => input(call, 'x'),
  Reshape: restore,
  ExpandDims: restore,
  Transpose: transpose,
  Tile: tile,
  Concat: concat,
  Slice: (b, call) =>
    slice(
      b,
      input(call, 'x'),
      attribute<number[]>(call, 'begin'),
      attribute<number[]>(call, 'size'),
    ),
  SplitV: split,
  PadV2: padConstant,
  MirrorPad: padMirror,
  DepthToSpace: blocks('DepthToSpace', { mode: 'DCR' }),
  SpaceToDepth: blocks('SpaceToDepth', {}),
  Fill: (_b, call) => constantOf(call),
  ZerosLike: (_b, call) => constantOf(call),
  OnesLike: (_b, call) => constantOf(call),
};

function constantOf(call: KernelCall): OnnxValue {
  const { shape, dtype } = call.outputs[0];
  return filled(attribute<number>(call, 'value'), shape, dtype);
}
