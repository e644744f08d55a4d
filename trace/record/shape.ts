// Recordings of kernels that move values without computing on them, and of reductions.

import { backend_util, slice_util, util } from '@tensorflow/tfjs-core';
import { sizeOf } from '../../shared/layout.js';
import type { DType } from '../step-graph.js';
import { need, one, type RawAttributes, type Recording } from './recording.js';

/** Reduction attributes: `axes` ascending and non-negative, `keepDims`. */
export interface ReductionAttributes {
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

const reduction =
  (axisKey: string): Recording =>
  (inputs, attrs) => {
    const x = need(inputs, 'x');
    const axes = axesOf(attrs[axisKey], x.shape);
    const keepDims = attrs['keepDims'] === true;
    const kept = x.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
    const shape = keepDims ? kept : kept.filter((_, axis) => !axes.includes(axis));
    return one(shape, x.dtype, { axes, keepDims } satisfies ReductionAttributes);
  };

function axesOf(axis: unknown, shape: readonly number[]): number[] {
  const axes = util.parseAxisParam(axis as number | number[], [...shape]);
  return [...axes].sort((a, b) => a - b);
}

const fill =
  (value: number): Recording =>
  (inputs) => {
    const x = need(inputs, 'x');
    return one(x.shape, x.dtype, { value });
  };

const concat: Recording = (inputs, attrs) => {
  const all = Object.values(inputs);
  const first = need(inputs, '0');
  const axis = util.parseAxisParam(attrs['axis'] as number, [...first.shape])[0];
  const shape = [...first.shape];
  shape[axis] = all.reduce((sum, input) => sum + input.shape[axis], 0);
  return one(shape, first.dtype, { axis });
};

const split: Recording = (inputs, attrs) => {
  const x = need(inputs, 'x');
  const axis = util.parseAxisParam(attrs['axis'] as number, [...x.shape])[0];
  const parts = attrs['numOrSizeSplits'] as number[];
  const sizes = backend_util.prepareSplitSize({ shape: [...x.shape] } as never, parts, axis);
  const outputs = sizes.map((size) => ({
    shape: x.shape.map((extent, i) => (i === axis ? size : extent)),
    dtype: x.dtype,
  }));
  return { outputs, attrs: { axis, sizes } };
};

const slice: Recording = (inputs, attrs) => {
  const x = need(inputs, 'x');
  const [begin, size] = slice_util.parseSliceParams(
    { shape: [...x.shape] } as never,
    attrs['begin'] as number[],
    attrs['size'] as number[],
  );
  return one(size, x.dtype, { begin: begin, size: size });
};

const pad =
  (rest: (attrs: RawAttributes) => Record<string, unknown>): Recording =>
  (inputs, attrs) => {
    const x = need(inputs, 'x');
    const paddings = attrs['paddings'] as [number, number][];
    const shape = x.shape.map((extent, axis) => extent + paddings[axis][0] + paddings[axis][1]);
    return one(shape, x.dtype, { paddings, ...rest(attrs) });
  };

export const shapeRecordings: Readonly<Record<string, Recording>> = {
  Sum: reduction('axis'),
  Mean: reduction('axis'),
  Max: reduction('reductionIndices'),
  Min: reduction('axis'),
  Reshape: (inputs, attrs) => {
    const x = need(inputs, 'x');
    const shape = util.inferFromImplicitShape(attrs['shape'] as number[], sizeOf(x.shape));
    return one(shape, x.dtype);
  },
  ExpandDims: (inputs, attrs) => {
    const x = need(inputs, 'input');
    const dim = attrs['dim'] as number;
    const shape = [...x.shape];
    shape.splice(dim < 0 ? shape.length + 1 + dim : dim, 0, 1);
    return one(shape, x.dtype);
  },
  Transpose: (inputs, attrs) => {
    const x = need(inputs, 'x');
    const perm = attrs['perm'] as number[];
    return one(
      perm.map((axis) => x.shape[axis]),
      x.dtype,
      { perm },
    );
  },
  Tile: (inputs, attrs) => {
    const x = need(inputs, 'x');
    const reps = attrs['reps'] as number[];
    return one(
      x.shape.map((extent, axis) => extent * reps[axis]),
      x.dtype,
      { reps },
    );
  },
  BroadcastTo: (inputs, attrs) => one(attrs['shape'] as number[], need(inputs, 'x').dtype),
  Concat: concat,
  Slice: slice,
  SplitV: split,
  PadV2: pad((attrs) => ({ value: attrs['constantValue'] ?? 0 })),
  MirrorPad: pad((attrs) => ({ mode: attrs['mode'] })),
  Fill: (_inputs, attrs) =>
    one(attrs['shape'] as number[], (attrs['dtype'] as DType | undefined) ?? 'float32', {
      value: attrs['value'],
    }),
  ZerosLike: fill(0),
  OnesLike: fill(1),
};
