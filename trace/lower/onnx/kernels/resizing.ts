// Enlargement of pictures by a whole factor without interpolation, and its gradient: the sum over
// the pixels that came from one.

import { attribute, input, outputShape, type KernelCall, type Lowering } from '../lowering.js';
import { fullName, nchw, stored } from '../value.js';

/** Factors [height, width] from the small to the large picture; throws when they are not whole. */
function factors(call: KernelCall, small: readonly number[], large: readonly number[]): number[] {
  const found = [1, 2].map((axis) => large[axis] / small[axis]);
  const isPlain = !attribute<boolean>(call, 'alignCorners');
  if (!isPlain || found.some((factor) => !Number.isInteger(factor)))
    throw new Error(`${call.kernel} has a lowering to ONNX for whole factors only`);
  return found;
}

export const resizingLowerings: Readonly<Record<string, Lowering>> = {
  ResizeNearestNeighbor: (b, call) => {
    const x = input(call, 'images');
    const scales = factors(call, x.shape, outputShape(call));
    const names = [fullName(b, x, nchw), '', b.constant([4], 'float32', [1, 1, ...scales])];
    const attrs = {
      mode: 'nearest',
      nearest_mode: 'floor',
      coordinate_transformation_mode: 'asymmetric',
    };
    return stored(b.emit('Resize', names, attrs), outputShape(call), 'float32', nchw);
  },
  ResizeNearestNeighborGrad: (b, call) => {
    const [dy, [n, h, w, c]] = [input(call, 'dy'), outputShape(call)];
    const [fh, fw] = factors(call, outputShape(call), dy.shape);
    const split = b.int64([n, c, h, fh, w, fw]);
    const blocks = b.emit('Reshape', [fullName(b, dy, nchw), split]);
    const name = b.emit('ReduceSum', [blocks, b.int64([3, 5])], { keepdims: 0 });
    return stored(name, outputShape(call), 'float32', nchw);
  },
};
