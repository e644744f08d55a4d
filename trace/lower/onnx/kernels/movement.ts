// Kernels that move values or change the resolution. Transposition costs nothing here: only the
// order's names change.

import { attribute, input, output, type KernelCall } from '../../lowering.js';
import type { OnnxBuilder } from '../builder.js';
import type { OnnxAttributes } from '../proto.js';
import {
  broadcastTo,
  filled,
  fullName,
  nchw,
  plainName,
  reshape,
  stored,
  type OnnxLowering,
  type OnnxLowerings,
  type OnnxValue,
} from '../value.js';

/** The end of an axis, whatever its extent. */
const toTheEnd = 2 ** 31 - 1;

const transpose: OnnxLowering = (_b, call) => {
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
function slice(
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
  const places = [starts, ends, axes].map((list) => b.int64(list));
  return stored(b.emit('Slice', [fullName(b, x, x.order), ...places]), size, x.dtype, x.order);
}

const split: OnnxLowering = (b, call) => {
  const x = input(call, 'x');
  const axis = attribute<number>(call, 'axis');
  let at = 0;
  return call.outputs.map(({ shape }) => {
    const begin = x.shape.map((_, i) => (i === axis ? at : 0));
    at += shape[axis];
    return slice(b, x, begin, shape);
  });
};

const concat: OnnxLowering = (b, call) => {
  const all = Object.values(call.inputs);
  const { order } = all.find((value) => value.fill === undefined) ?? all[0];
  const axis = order.indexOf(attribute(call, 'axis'));
  const names = all.map((value) => fullName(b, value, order));
  const { shape, dtype } = output(call);
  return stored(b.emit('Concat', names, { axis }), shape, dtype, order);
};

function pad(b: OnnxBuilder, call: KernelCall<OnnxValue>, mode: string, ...rest: string[]) {
  const x = input(call, 'x');
  const paddings = attribute<readonly (readonly [number, number])[]>(call, 'paddings');
  const pads = [0, 1].flatMap((end) => x.order.map((axis) => paddings[axis][end]));
  const names = [fullName(b, x, x.order), b.int64(pads), ...rest];
  return stored(b.emit('Pad', names, { mode }), output(call).shape, x.dtype, x.order);
}

const tile: OnnxLowering = (b, call) => {
  const x = input(call, 'x');
  const reps = attribute<readonly number[]>(call, 'reps');
  const { shape } = output(call);
  if (x.shape.every((extent, axis) => extent === 1 || reps[axis] === 1))
    return broadcastTo(b, x, shape);
  return stored(b.emit('Tile', [plainName(b, x), b.int64(reps)]), shape, x.dtype);
};

const blocks =
  (op: string, attrs: OnnxAttributes): OnnxLowering =>
  (b, call) => {
    const blocksize = attribute<number>(call, 'block');
    const name = b.emit(op, [fullName(b, input(call, 'x'), nchw)], { blocksize, ...attrs });
    return stored(name, output(call).shape, 'float32', nchw);
  };

const restore: OnnxLowering = (b, call) =>
  reshape(b, Object.values(call.inputs)[0], output(call).shape);

const fill: OnnxLowering = (_b, call) => {
  const { shape, dtype } = output(call);
  return filled(attribute(call, 'value'), shape, dtype);
};

/** Factors [height, width] from the small to the large picture; throws when they are not whole. */
function resizeFactors(
  call: KernelCall<OnnxValue>,
  small: readonly number[],
  large: readonly number[],
): number[] {
  const factors = [1, 2].map((axis) => large[axis] / small[axis]);
  const isPlain = !attribute<boolean>(call, 'alignCorners');
  if (!isPlain || factors.some((factor) => !Number.isInteger(factor)))
    throw new Error(`${call.kernel} has a lowering to ONNX for whole factors only`);
  return factors;
}

const nearest = {
  mode: 'nearest',
  nearest_mode: 'floor',
  coordinate_transformation_mode: 'asymmetric',
};

/** Each pixel of x [n, h, w, c] repeated `factors` [height, width] times, which gives `shape`. */
export function repeatPixels(
  b: OnnxBuilder,
  x: OnnxValue,
  shape: readonly number[],
  factors: readonly number[],
): OnnxValue {
  const names = [fullName(b, x, nchw), '', b.constant([4], 'float32', [1, 1, ...factors])];
  return stored(b.emit('Resize', names, nearest), shape, 'float32', nchw);
}

export const movementToOnnx: OnnxLowerings = {
  Identity: (_b, call) => input(call, 'x'),
  Reshape: restore,
  ExpandDims: restore,
  Transpose: transpose,
  Tile: tile,
  Concat: concat,
  Slice: (b, call) => slice(b, input(call, 'x'), attribute(call, 'begin'), attribute(call, 'size')),
  SplitV: split,
  PadV2: (b, call) => {
    const value = b.constant([], input(call, 'x').dtype, [attribute(call, 'value')]);
    return pad(b, call, 'constant', value);
  },
  MirrorPad: (b, call) => {
    if (attribute(call, 'mode') === 'reflect') return pad(b, call, 'reflect');
    throw new Error('MirrorPad with mode "symmetric" has no lowering to ONNX; use "reflect"');
  },
  Fill: fill,
  ZerosLike: fill,
  OnesLike: fill,
  DepthToSpace: blocks('DepthToSpace', { mode: 'DCR' }),
  SpaceToDepth: blocks('SpaceToDepth', {}),
  ResizeNearestNeighbor: (b, call) => {
    const x = input(call, 'images');
    const { shape } = output(call);
    return repeatPixels(b, x, shape, resizeFactors(call, x.shape, shape));
  },
  // The sum over the pixels that came from one.
  ResizeNearestNeighborGrad: (b, call) => {
    const dy = input(call, 'dy');
    const { shape } = output(call);
    const [n, h, w, c] = shape;
    const [fh, fw] = resizeFactors(call, shape, dy.shape);
    const split = b.int64([n, c, h, fh, w, fw]);
    const blocks = b.emit('Reshape', [fullName(b, dy, nchw), split]);
    const name = b.emit('ReduceSum', [blocks, b.int64([3, 5])], { keepdims: 0 });
    return stored(name, shape, 'float32', nchw);
  },
};
