// Kernels that move values, change the resolution or reduce axes, and constants of one number.

import { attribute, input, output, type KernelCall } from '../../lowering.js';
import {
  list,
  type HloValue,
  type Paddings,
  type Reduction,
  type StablehloBuilder,
  type StablehloLowering,
  type StablehloLowerings,
} from '../builder.js';

type Call = KernelCall<HloValue>;

const restore: StablehloLowering = (b, call) =>
  b.reshape(Object.values(call.inputs)[0], output(call).shape);

const fill: StablehloLowering = (b, call) =>
  b.constant(output(call), { kind: 'fill', value: attribute(call, 'value') });

/** Axis i of the result is axis order[i] of `x`. */
function transpose(b: StablehloBuilder, x: HloValue, order: readonly number[]): HloValue {
  const shape = order.map((axis) => x.shape[axis]);
  return b.op('transpose', [x], { ...x, shape }, `, dims = ${list(order)}`);
}

/** Cuts [begin, begin + size) out of every axis. */
export function slice(
  b: StablehloBuilder,
  x: HloValue,
  begin: readonly number[],
  size: readonly number[],
): HloValue {
  const ranges = begin.map((from, axis) => `${from}:${from + size[axis]}`);
  return b.op('slice', [x], { ...x, shape: size }, ` ${list(ranges)}`);
}

/** Cuts [from, from + count) out of one axis. */
function sliceAxis(b: StablehloBuilder, x: HloValue, axis: number, from: number, count: number) {
  const begin = x.shape.map((_, i) => (i === axis ? from : 0));
  const size = x.shape.map((extent, i) => (i === axis ? count : extent));
  return slice(b, x, begin, size);
}

/** One behind the other along an axis. */
export function concatenate(
  b: StablehloBuilder,
  parts: readonly HloValue[],
  axis: number,
): HloValue {
  const shape = [...parts[0].shape];
  shape[axis] = parts.reduce((sum, part) => sum + part.shape[axis], 0);
  return b.op('concatenate', parts, { ...parts[0], shape }, `, dim = ${axis}`);
}

/** Copies of `x`, reps[i] of them along axis i. */
function tile(b: StablehloBuilder, x: HloValue, reps: readonly number[]): HloValue {
  const pairs = x.shape.map((extent, axis) => [reps[axis], extent]);
  const single = pairs.flatMap(([, extent]) => [1, extent]);
  const whole = pairs.map(([times, extent]) => times * extent);
  return b.reshape(b.broadcast(b.reshape(x, single), pairs.flat()), whole);
}

/** `x` with its own mirror image around it; the mirror stands `offset` values inside the border. */
function mirror(b: StablehloBuilder, given: HloValue, paddings: Paddings, offset: number) {
  return paddings.reduce((x, [before, behind], axis) => {
    const image = (from: number, count: number): HloValue[] => {
      if (count === 0) return [];
      const part = sliceAxis(b, x, axis, from, count);
      return [b.op('reverse', [part], part, `, dims = [${axis}]`)];
    };
    const end = x.shape[axis] - offset - behind;
    const parts = [...image(offset, before), x, ...image(end, behind)];
    return parts.length === 1 ? x : concatenate(b, parts, axis);
  }, given);
}

/** Factors [height, width] from the small to the large picture; throws when they are not whole. */
function factorsOf(call: Call, small: readonly number[], large: readonly number[]): number[] {
  const factors = [1, 2].map((axis) => large[axis] / small[axis]);
  const isPlain = !attribute<boolean>(call, 'alignCorners');
  if (!isPlain || factors.some((factor) => !Number.isInteger(factor)))
    throw new Error(`${call.kernel} has a lowering to StableHLO for whole factors only`);
  return factors;
}

const reduction =
  (op: Reduction | 'mean'): StablehloLowering =>
  (b, call) => {
    const [x, axes] = [input(call, 'x'), attribute<readonly number[]>(call, 'axes')];
    const reduced = op === 'mean' ? b.mean(x, axes) : b.reduce(op, x, axes);
    return b.reshape(reduced, output(call).shape);
  };

export const movementToStablehlo: StablehloLowerings = {
  Reshape: restore,
  ExpandDims: restore,
  Transpose: (b, call) => transpose(b, input(call, 'x'), attribute(call, 'perm')),
  Tile: (b, call) => tile(b, input(call, 'x'), attribute(call, 'reps')),
  BroadcastTo: (b, call) => b.broadcast(input(call, 'x'), output(call).shape),
  Concat: (b, call) => concatenate(b, Object.values(call.inputs), attribute(call, 'axis')),
  Slice: (b, call) => slice(b, input(call, 'x'), attribute(call, 'begin'), attribute(call, 'size')),
  SplitV: (b, call) => {
    const [x, axis] = [input(call, 'x'), attribute<number>(call, 'axis')];
    let start = 0;
    return attribute<readonly number[]>(call, 'sizes').map((size) => {
      const part = sliceAxis(b, x, axis, start, size);
      start += size;
      return part;
    });
  },
  PadV2: (b, call) => {
    const value = b.fill(attribute(call, 'value'), [], output(call).dtype);
    return b.pad(input(call, 'x'), value, attribute(call, 'paddings'));
  },
  MirrorPad: (b, call) => {
    const offset = attribute(call, 'mode') === 'reflect' ? 1 : 0;
    return mirror(b, input(call, 'x'), attribute(call, 'paddings'), offset);
  },
  Fill: fill,
  ZerosLike: fill,
  OnesLike: fill,
  DepthToSpace: (b, call) => {
    const [x, { shape }] = [input(call, 'x'), output(call)];
    const block = attribute<number>(call, 'block');
    const [n, h, w] = x.shape;
    const split = b.reshape(x, [n, h, w, block, block, shape[3]]);
    return b.reshape(transpose(b, split, [0, 1, 3, 2, 4, 5]), shape);
  },
  SpaceToDepth: (b, call) => {
    const [x, { shape }] = [input(call, 'x'), output(call)];
    const block = attribute<number>(call, 'block');
    const [n, h, w] = shape;
    const split = b.reshape(x, [n, h, block, w, block, x.shape[3]]);
    return b.reshape(transpose(b, split, [0, 1, 3, 2, 4, 5]), shape);
  },
  ResizeNearestNeighbor: (b, call) => {
    const [x, { shape }] = [input(call, 'images'), output(call)];
    const [down, across] = factorsOf(call, x.shape, shape);
    const [n, h, w, c] = x.shape;
    const pixels = b.reshape(x, [n, h, 1, w, 1, c]);
    return b.reshape(b.broadcast(pixels, [n, h, down, w, across, c]), shape);
  },
  // The sum over the pixels that came from one.
  ResizeNearestNeighborGrad: (b, call) => {
    const [dy, { shape }] = [input(call, 'dy'), output(call)];
    const [down, across] = factorsOf(call, shape, dy.shape);
    const [n, h, w, c] = shape;
    const blocks = b.reshape(dy, [n, h, down, w, across, c]);
    return b.reduce('add', blocks, [2, 4]);
  },
  Sum: reduction('add'),
  Mean: reduction('mean'),
  Max: reduction('maximum'),
  Min: reduction('minimum'),
};
