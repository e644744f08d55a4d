// Kernels that move values, change the resolution or reduce axes, and constants of one number.

import { equalShapes } from '../../../step-graph.js';
import { attribute, broadcastAxes, input, output, type KernelCall } from '../../lowering.js';
import {
  namesOf,
  reshaped,
  type GraphDefBuilder,
  type TensorflowLowering,
  type TensorflowLowerings,
  type TensorRef,
} from '../builder.js';
import { integerAttr, stringAttr, typeAttr } from '../node-def.js';

/** One operation with x and small integers, an attribute of the kernel. */
const withIntegers =
  (op: string, name: string): TensorflowLowering =>
  (b, call) => {
    const x = input(call, 'x');
    return b.op(op, [x.name, b.integers(attribute(call, name))], {}, x.dtype);
  };

const fill: TensorflowLowering = (b, call) => {
  const { shape, dtype } = output(call);
  return b.constant(shape, dtype, { kind: 'fill', value: attribute(call, 'value') });
};

const blocks =
  (op: string): TensorflowLowering =>
  (b, call) => {
    const block = integerAttr(attribute(call, 'block'));
    const attr = { block_size: block, data_format: stringAttr('NHWC') };
    return b.op(op, [input(call, 'x').name], attr, output(call).dtype);
  };

/** Parts of `x` along an axis; all parts' sizes together are its extent. */
export function split(
  b: GraphDefBuilder,
  x: TensorRef,
  sizes: readonly number[],
  axis: number,
): string[] {
  const attr = { num_split: integerAttr(sizes.length), Tlen: typeAttr('int32') };
  const inputs = [x.name, b.integers(sizes), b.scalar(axis, 'int32')];
  const name = b.op('SplitV', inputs, attr, x.dtype);
  return sizes.map((_, i) => `${name}:${i}`);
}

function paddingsOf(b: GraphDefBuilder, call: KernelCall<TensorRef>): string {
  const paddings = attribute<readonly (readonly [number, number])[]>(call, 'paddings');
  return b.integers(paddings.flat(), [paddings.length, 2]);
}

const resizing =
  (op: string, name: string): TensorflowLowering =>
  (b, call) =>
    b.op(op, [input(call, name).name, b.integers(output(call).shape.slice(1, 3))], {
      align_corners: { b: attribute(call, 'alignCorners') },
      half_pixel_centers: { b: attribute(call, 'halfPixelCenters') },
    });

/**
 * Sums over `axes` (ascending), which are dropped. All but the last one is the gradient of a bias,
 * for which TensorFlow has a quicker operation.
 */
function sum(b: GraphDefBuilder, x: TensorRef, axes: readonly number[]): string {
  const isOfBias = x.dtype === 'float32' && axes.length > 0 && axes.length === x.shape.length - 1;
  if (isOfBias && axes.every((axis, i) => axis === i)) return b.op('BiasAddGrad', [x.name]);
  return b.op('Sum', [x.name, b.integers(axes)], {}, x.dtype);
}

/** Sums over the axes along which a tensor of `shape` would be broadcast to `x`. */
export function sumBroadcast(b: GraphDefBuilder, x: TensorRef, shape: readonly number[]): string {
  const axes = broadcastAxes(shape, x.shape);
  const name = sum(b, x, axes);
  const left = x.shape.filter((_, axis) => !axes.includes(axis));
  return equalShapes(left, shape) ? name : reshaped(b, { ...x, name }, shape);
}

const reduction =
  (op: 'Mean' | 'Max' | 'Min'): TensorflowLowering =>
  (b, call) => {
    const x = input(call, 'x');
    const keepDims = { keep_dims: { b: attribute<boolean>(call, 'keepDims') } };
    return b.op(op, [x.name, b.integers(attribute(call, 'axes'))], keepDims, x.dtype);
  };

export const movementToTensorflow: TensorflowLowerings = {
  Reshape: (b, call) => reshaped(b, input(call, 'x'), output(call).shape),
  ExpandDims: (b, call) => reshaped(b, input(call, 'input'), output(call).shape),
  Transpose: withIntegers('Transpose', 'perm'),
  Tile: withIntegers('Tile', 'reps'),
  BroadcastTo: (b, call) => {
    const x = input(call, 'x');
    return b.op('BroadcastTo', [x.name, b.integers(output(call).shape)], {}, x.dtype);
  },
  Concat: (b, call) => {
    const names = namesOf(Object.values(call.inputs));
    const axis = b.scalar(attribute(call, 'axis'), 'int32');
    return b.op('ConcatV2', [...names, axis], { N: integerAttr(names.length) }, output(call).dtype);
  },
  Slice: (b, call) => {
    const x = input(call, 'x');
    const [begin, size] = ['begin', 'size'].map((name) => b.integers(attribute(call, name)));
    return b.op('Slice', [x.name, begin, size], { Index: typeAttr('int32') }, x.dtype);
  },
  SplitV: (b, call) =>
    split(b, input(call, 'x'), attribute(call, 'sizes'), attribute(call, 'axis')),
  PadV2: (b, call) => {
    const x = input(call, 'x');
    const around = paddingsOf(b, call);
    const value = b.scalar(attribute(call, 'value'), x.dtype);
    return b.op('PadV2', [x.name, around, value], {}, x.dtype);
  },
  MirrorPad: (b, call) => {
    const x = input(call, 'x');
    const mode = stringAttr(attribute<string>(call, 'mode').toUpperCase());
    return b.op('MirrorPad', [x.name, paddingsOf(b, call)], { mode }, x.dtype);
  },
  Fill: fill,
  ZerosLike: fill,
  OnesLike: fill,
  DepthToSpace: blocks('DepthToSpace'),
  SpaceToDepth: blocks('SpaceToDepth'),
  ResizeNearestNeighbor: resizing('ResizeNearestNeighbor', 'images'),
  ResizeNearestNeighborGrad: resizing('ResizeNearestNeighborGrad', 'dy'),
  Sum: (b, call) => {
    const x = input(call, 'x');
    const name = sum(b, x, attribute(call, 'axes'));
    return attribute(call, 'keepDims') ? reshaped(b, { ...x, name }, output(call).shape) : name;
  },
  Mean: reduction('Mean'),
  Max: reduction('Max'),
  Min: reduction('Min'),
};
