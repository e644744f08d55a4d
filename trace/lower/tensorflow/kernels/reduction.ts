// Sums, means and extremes over axes.

import type { GraphDefBuilder } from '../builder.js';
import { attribute, input, output, type Lowering, type Operand } from '../lowering.js';

/** Another shape for the same values. */
export function reshaped(b: GraphDefBuilder, x: Operand, shape: readonly number[]): string {
  return b.op('Reshape', [x.name, b.integers(shape)], {}, x.dtype);
}

/**
 * Sums over `axes` (ascending), which are dropped. All but the last one is the gradient of a bias,
 * for which TensorFlow has a quicker operation.
 */
function sum(b: GraphDefBuilder, x: Operand, axes: readonly number[]): string {
  const isOfBias = x.dtype === 'float32' && axes.length > 0 && axes.length === x.shape.length - 1;
  if (isOfBias && axes.every((axis, i) => axis === i)) return b.op('BiasAddGrad', [x.name]);
  return b.op('Sum', [x.name, b.integers(axes)], {}, x.dtype);
}

/** Sums over the axes along which a tensor of `shape` would be broadcast to `x`. */
export function sumTo(b: GraphDefBuilder, x: Operand, shape: readonly number[]): string {
  const missing = x.shape.length - shape.length;
  const axes = x.shape.flatMap((extent, axis) =>
    axis < missing || (shape[axis - missing] === 1 && extent !== 1) ? [axis] : [],
  );
  const name = sum(b, x, axes);
  const left = x.shape.filter((_, axis) => !axes.includes(axis));
  return left.join() === shape.join() ? name : reshaped(b, { ...x, name }, shape);
}

const reduction =
  (op: 'Mean' | 'Max' | 'Min'): Lowering =>
  (b, call) => {
    const x = input(call, 'x');
    const axes = b.integers(attribute<readonly number[]>(call, 'axes'));
    const keepDims = { keep_dims: { b: attribute<boolean>(call, 'keepDims') } };
    return b.op(op, [x.name, axes], keepDims, x.dtype);
  };

export const reductionLowerings: Readonly<Record<string, Lowering>> = {
  Sum: (b, call) => {
    const x = input(call, 'x');
    const name = sum(b, x, attribute<readonly number[]>(call, 'axes'));
    const isKept = attribute<boolean>(call, 'keepDims');
    return isKept ? reshaped(b, { ...x, name }, output(call).shape) : name;
  },
  Mean: reduction('Mean'),
  Max: reduction('Max'),
  Min: reduction('Min'),
};
