// How each kernel is recorded: from the shapes of its inputs and TF.js's raw attributes to the
// shapes of its outputs, and attributes that a lowering can use as they are. All in TF.js's logical
// order: pixels NHWC, filters HWIO. No values exist here. Extend `recordings` for a new kernel.

import { backend_util, slice_util, util } from '@tensorflow/tfjs-core';
import { sizeOf } from '../../shared/layout.js';
import type { ConvAttributes, DType, GraphValue } from '../step-graph.js';

export type RawAttributes = Readonly<Record<string, unknown>>;

interface Recorded {
  readonly outputs: readonly GraphValue[];
  /** The node's attributes; none when left out. */
  readonly attrs?: Readonly<Record<string, unknown>>;
}

/** `inputs` are by TF.js's input name; kernels that take a list name theirs "0", "1", ... */
type Recording = (inputs: Readonly<Record<string, GraphValue>>, attrs: RawAttributes) => Recorded;

/** One output. */
function one(shape: readonly number[], dtype: DType, attrs?: RawAttributes): Recorded {
  const outputs = [{ shape: [...shape], dtype }];
  return attrs === undefined ? { outputs } : { outputs, attrs };
}

const unary: Recording = ({ x }) => one(x.shape, x.dtype);

const binary =
  (dtype?: DType): Recording =>
  ({ a, b }) =>
    one(broadcast(a.shape, b.shape), dtype ?? a.dtype);

function broadcast(a: readonly number[], b: readonly number[]): number[] {
  return backend_util.assertAndGetBroadcastShape([...a], [...b]);
}

const withAlpha: Recording = ({ x }, { alpha = 0 }) => one(x.shape, 'float32', { alpha });

const constant =
  (value: number): Recording =>
  ({ x }) =>
    one(x.shape, x.dtype, { value });

/** `axes` come out ascending and non-negative. */
const reduction =
  (axisKey = 'axis'): Recording =>
  ({ x }, attrs) => {
    const given = util.parseAxisParam(attrs[axisKey] as number | number[], [...x.shape]);
    const axes = [...given].sort((a, b) => a - b);
    const keepDims = attrs['keepDims'] === true;
    const kept = x.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
    const shape = keepDims ? kept : kept.filter((_, axis) => !axes.includes(axis));
    return one(shape, x.dtype, { axes, keepDims });
  };

function axisOf(attrs: RawAttributes, { shape }: GraphValue): number {
  return util.parseAxisParam(attrs['axis'] as number, [...shape])[0];
}

const concat: Recording = (inputs, attrs) => {
  const first = inputs['0'];
  const axis = axisOf(attrs, first);
  const shape = [...first.shape];
  shape[axis] = Object.values(inputs).reduce((sum, input) => sum + input.shape[axis], 0);
  return one(shape, first.dtype, { axis });
};

const split: Recording = ({ x }, attrs) => {
  const axis = axisOf(attrs, x);
  const parts = attrs['numOrSizeSplits'] as number[];
  const sizes = backend_util.prepareSplitSize({ shape: [...x.shape] } as never, parts, axis);
  const outputs = sizes.map((size) => ({
    shape: x.shape.map((extent, i) => (i === axis ? size : extent)),
    dtype: x.dtype,
  }));
  return { outputs, attrs: { axis, sizes } };
};

const slice: Recording = ({ x }, attrs) => {
  const [begin, size] = slice_util.parseSliceParams(
    { shape: [...x.shape] } as never,
    attrs['begin'] as number[],
    attrs['size'] as number[],
  );
  return one(size, x.dtype, { begin, size });
};

const pad =
  (rest: (attrs: RawAttributes) => RawAttributes): Recording =>
  ({ x }, attrs) => {
    const paddings = attrs['paddings'] as [number, number][];
    const shape = x.shape.map((extent, axis) => extent + paddings[axis][0] + paddings[axis][1]);
    return one(shape, x.dtype, { paddings, ...rest(attrs) });
  };

type Shape4 = [number, number, number, number];

const blocks =
  (change: (shape: Shape4, block: number) => number[]): Recording =>
  ({ x }, attrs) => {
    const block = attrs['blockSize'] as number;
    return one(change([...x.shape] as Shape4, block), x.dtype, { block });
  };

const matMul: Recording = ({ a, b }, attrs) => {
  const [transposeA, transposeB] = [attrs['transposeA'] === true, attrs['transposeB'] === true];
  const rows = a.shape.at(transposeA ? -1 : -2)!;
  const columns = b.shape.at(transposeB ? -2 : -1)!;
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return one([...batch, rows, columns], 'float32', { transposeA, transposeB });
};

function convolution(x: readonly number[], filter: readonly number[], attrs: RawAttributes) {
  if ((attrs['dataFormat'] ?? 'NHWC') !== 'NHWC') throw new Error('only NHWC convolutions');
  const info = backend_util.computeConv2DInfo(
    [...x] as Shape4,
    [...filter] as Shape4,
    attrs['strides'] as number,
    (attrs['dilations'] as number | undefined) ?? 1,
    attrs['pad'] as 'same',
    attrs['dimRoundingMode'] as undefined,
  );
  const { top, left, bottom, right } = info.padInfo;
  const geometry = {
    strides: [info.strideHeight, info.strideWidth],
    dilations: [info.dilationHeight, info.dilationWidth],
    padding: [top, left, bottom, right],
  } satisfies ConvAttributes;
  return { outShape: info.outShape, geometry };
}

/** Windows without padding or dilation; `side` and `stride` in pixels, the same both ways. */
function pooling(x: readonly number[], attrs: RawAttributes) {
  const info = backend_util.computePool2DInfo(
    [...x] as Shape4,
    attrs['filterSize'] as number,
    attrs['strides'] as number,
    1,
    attrs['pad'] as 'valid',
    attrs['dimRoundingMode'] as undefined,
  );
  const { filterHeight: side, strideHeight: stride } = info;
  const isSquare = info.filterWidth === side && info.strideWidth === stride;
  if (!isSquare || attrs['pad'] !== 'valid') throw new Error('only square, unpadded pooling');
  return { outShape: info.outShape, window: { side, stride } };
}

const pool: Recording = ({ x }, attrs) => {
  const { outShape, window } = pooling(x.shape, attrs);
  return one(outShape, 'float32', window);
};

const poolGradient: Recording = ({ input }, attrs) =>
  one(input.shape, 'float32', pooling(input.shape, attrs).window);

/** Of the shape of x and two values a channel: normalized values or gradients. */
const batchNorm: Recording = ({ x }, { epsilon }) => {
  const channel: GraphValue = { shape: [x.shape.at(-1)!], dtype: 'float32' };
  return { outputs: [{ shape: x.shape, dtype: 'float32' }, channel, channel], attrs: { epsilon } };
};

const resizing = (attrs: RawAttributes) => ({
  alignCorners: attrs['alignCorners'] === true,
  halfPixelCenters: attrs['halfPixelCenters'] === true,
});

const all = (kernels: readonly string[], recording: Recording) =>
  Object.fromEntries(kernels.map((kernel) => [kernel, recording]));

/** The kernels that can be recorded. */
export const recordings: Readonly<Record<string, Recording>> = {
  ...all(['Neg', 'Abs', 'Sign', 'Square', 'Sqrt', 'Rsqrt', 'Reciprocal', 'Exp', 'Log'], unary),
  ...all(['Log1p', 'Sigmoid', 'Tanh', 'Softplus', 'Relu', 'Relu6', 'Prelu', 'Floor'], unary),
  ...all(['LogicalNot', 'Identity'], unary),
  ...all(['Add', 'Sub', 'Multiply', 'RealDiv', 'Maximum', 'Minimum', 'Pow'], binary()),
  ...all(['SquaredDifference'], binary()),
  ...all(['Greater', 'GreaterEqual', 'Less', 'LessEqual', 'Equal', 'NotEqual'], binary('bool')),
  ...all(['LogicalAnd', 'LogicalOr'], binary('bool')),
  Cast: ({ x }, attrs) => one(x.shape, attrs['dtype'] as DType),
  Select: ({ t }) => one(t.shape, t.dtype),
  AddN: (inputs) => one(inputs['0'].shape, inputs['0'].dtype),
  ClipByValue: ({ x }, attrs) =>
    one(x.shape, 'float32', { min: attrs['clipValueMin'], max: attrs['clipValueMax'] }),
  Step: withAlpha,
  LeakyRelu: withAlpha,
  LeakyReluGrad: ({ dy }, { alpha }) => one(dy.shape, 'float32', { alpha }),
  ReluGrad: ({ dy }, attrs) => one(dy.shape, 'float32', attrs),
  PreluGradX: ({ dy }, attrs) => one(dy.shape, 'float32', attrs),
  PreluGradAlpha: ({ alpha }) => one(alpha.shape, 'float32'),

  Sum: reduction(),
  Mean: reduction(),
  Max: reduction('reductionIndices'),
  Min: reduction(),

  Reshape: ({ x }, attrs) =>
    one(util.inferFromImplicitShape(attrs['shape'] as number[], sizeOf(x.shape)), x.dtype),
  ExpandDims: ({ input }, attrs) => {
    const dim = attrs['dim'] as number;
    const shape = [...input.shape];
    shape.splice(dim < 0 ? shape.length + 1 + dim : dim, 0, 1);
    return one(shape, input.dtype);
  },
  Transpose: ({ x }, attrs) => {
    const perm = attrs['perm'] as number[];
    const shape = perm.map((axis) => x.shape[axis]);
    return one(shape, x.dtype, { perm });
  },
  Tile: ({ x }, attrs) => {
    const reps = attrs['reps'] as number[];
    const shape = x.shape.map((extent, axis) => extent * reps[axis]);
    return one(shape, x.dtype, { reps });
  },
  BroadcastTo: ({ x }, attrs) => one(attrs['shape'] as number[], x.dtype),
  Concat: concat,
  Slice: slice,
  SplitV: split,
  PadV2: pad((attrs) => ({ value: attrs['constantValue'] ?? 0 })),
  MirrorPad: pad(({ mode }) => ({ mode })),
  Fill: (_inputs, { shape, dtype, value }) =>
    one(shape as number[], (dtype as DType | undefined) ?? 'float32', { value }),
  ZerosLike: constant(0),
  OnesLike: constant(1),
  DepthToSpace: blocks(([n, h, w, c], b) => [n, h * b, w * b, c / (b * b)]),
  SpaceToDepth: blocks(([n, h, w, c], b) => [n, h / b, w / b, c * b * b]),
  ResizeNearestNeighbor: ({ images }, attrs) => {
    const [n, , , c] = images.shape;
    const [height, width] = attrs['size'] as [number, number];
    return one([n, height, width, c], 'float32', resizing(attrs));
  },
  ResizeNearestNeighborGrad: ({ images }, attrs) => one(images.shape, 'float32', resizing(attrs)),

  BatchMatMul: matMul,
  Conv2D: ({ x, filter }, attrs) => {
    const { outShape, geometry } = convolution(x.shape, filter.shape, attrs);
    return one(outShape, 'float32', geometry);
  },
  Conv2DBackpropInput: ({ filter }, attrs) => {
    const shape = attrs['inputShape'] as number[];
    return one(shape, 'float32', convolution(shape, filter.shape, attrs).geometry);
  },
  Conv2DBackpropFilter: ({ x }, attrs) => {
    const shape = attrs['filterShape'] as number[];
    return one(shape, 'float32', convolution(x.shape, shape, attrs).geometry);
  },
  ...all(['MaxPool', 'AvgPool'], pool),
  ...all(['MaxPoolGrad', 'AvgPoolGrad'], poolGradient),
  BatchNormTraining: batchNorm,
  BatchNormTrainingGrad: batchNorm,
  FusedBatchNorm: ({ x }, attrs) => one(x.shape, 'float32', { epsilon: attrs['varianceEpsilon'] }),
};
