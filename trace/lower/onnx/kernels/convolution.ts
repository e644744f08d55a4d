// Convolutions and their gradients. ONNX wants pixels as NCHW and filters as OIHW; ConvTranspose is
// the gradient of Conv with respect to its input, and at stride 1 so is a Conv with the filter
// turned around, which ONNX Runtime computes faster unless there are few input channels.

import type { ConvAttributes } from '../../../step-graph.js';
import { input, inputsOf, output, type KernelCall } from '../../lowering.js';
import type { OnnxBuilder } from '../builder.js';
import {
  fullName,
  nchw,
  plainName,
  stored,
  type OnnxLowering,
  type OnnxLowerings,
  type OnnxValue,
} from '../value.js';
import { multiply } from './sums.js';

// From so many times more channels in than out on, a product and a scatter is faster than a
// convolution, and windows of the output's gradient are cheaper than windows of the input.
const narrowing = 4;

/** The geometry of a convolution call: attributes and filter [kh, kw, in, out]. */
interface Geometry extends ConvAttributes {
  readonly filter: readonly number[];
}

function geometryOf({ attrs }: KernelCall<unknown>, filter: readonly number[]): Geometry {
  return { ...(attrs as unknown as ConvAttributes), filter };
}

function isUnitStride({ strides, dilations }: ConvAttributes): boolean {
  return [...strides, ...dilations].every((n) => n === 1);
}

/** Filter [kh, kw, in, out] as [out, in, kh, kw]: two moves of one axis are faster than one. */
function straightFilter(b: OnnxBuilder, filter: OnnxValue): string {
  const [kh, kw, inputs, outputs] = filter.shape;
  const taps = kh * kw;
  const plain = b.emit('Reshape', [plainName(b, filter), b.int64([taps, inputs, outputs])]);
  const swapped = b.emit('Transpose', [plain], { perm: [0, 2, 1] });
  // Between two plain transpositions the runtime would join them into the slow one.
  const rows = b.emit('Reshape', [swapped, b.int64([taps, outputs * inputs])]);
  const moved = b.emit('Transpose', [rows], { perm: [1, 0] });
  return b.emit('Reshape', [moved, b.int64([outputs, inputs, kh, kw])]);
}

/** Filter [kh, kw, in, out] as [in, out, kh, kw], turned by 180 degrees. */
function turnedFilter(b: OnnxBuilder, filter: OnnxValue): string {
  const [kh, kw, inputs, outputs] = filter.shape;
  const taps = kh * kw;
  const plain = b.emit('Reshape', [plainName(b, filter), b.int64([taps, inputs, outputs])]);
  const backwards = b.int64(Array.from({ length: taps }, (_, i) => taps - 1 - i));
  const turned = taps === 1 ? plain : b.emit('Gather', [plain, backwards], { axis: 0 });
  const moved = b.emit('Transpose', [turned], { perm: [1, 2, 0] });
  return b.emit('Reshape', [moved, b.int64([inputs, outputs, kh, kw])]);
}

/** The padding with which a convolution with the turned filter undoes one with `padding`. */
function turnedPads({ filter: [kh, kw], padding }: Geometry): number[] {
  return padding.map((p, i) => (i % 2 === 0 ? kh : kw) - 1 - p);
}

const forward: OnnxLowering = (b, call) => {
  const [x, filter] = inputsOf(call, 'x', 'filter');
  const geometry = geometryOf(call, filter.shape);
  const { padding: pads, strides, dilations } = geometry;
  const [kh, kw, inputs, outputs] = filter.shape;
  const bias = call.inputs['bias'] === undefined ? [] : [plainName(b, input(call, 'bias'))];
  const pixels = fullName(b, x, nchw);
  const isNarrowing = isUnitStride(geometry) && kh * kw > 1 && outputs * narrowing <= inputs;
  const turned = turnedPads(geometry);
  const kernel = { kernel_shape: [kh, kw], pads, strides, dilations };
  const name =
    isNarrowing && turned.every((p) => p >= 0)
      ? b.emit('ConvTranspose', [pixels, turnedFilter(b, filter), ...bias], { pads: turned })
      : b.emit('Conv', [pixels, straightFilter(b, filter), ...bias], kernel);
  return stored(name, output(call).shape, 'float32', nchw);
};

const inputGradient: OnnxLowering = (b, call) => {
  const [dy, filter] = inputsOf(call, 'dy', 'filter');
  const geometry = geometryOf(call, filter.shape);
  const { padding: pads, strides, dilations } = geometry;
  const [kh, kw, inputs, outputs] = filter.shape;
  const { shape } = output(call);
  const pixels = fullName(b, dy, nchw);
  const turned = turnedPads(geometry);
  const isConv = isUnitStride(geometry) && outputs <= narrowing * inputs;
  const kernel = { kernel_shape: [kh, kw], pads, strides, dilations };
  const name =
    isConv && turned.every((p) => p >= 0)
      ? b.emit('Conv', [pixels, turnedFilter(b, filter)], { kernel_shape: [kh, kw], pads: turned })
      : b.emit('ConvTranspose', [pixels, straightFilter(b, filter)], {
          ...kernel,
          output_padding: outputPadding(geometry, shape, dy.shape),
        });
  return stored(name, shape, 'float32', nchw);
};

/** Rows and columns of the input that no window of a strided convolution reached. */
function outputPadding(
  { filter, strides, dilations, padding }: Geometry,
  inShape: readonly number[],
  outShape: readonly number[],
): number[] {
  return [0, 1].map((axis) => {
    const window = (filter[axis] - 1) * dilations[axis] + 1;
    const covered = strides[axis] * (outShape[axis + 1] - 1) + window;
    return inShape[axis + 1] + padding[axis] + padding[axis + 2] - covered;
  });
}

// The gradient with respect to the filter, for which ONNX has no operator: a matrix product of all
// windows of the input with the output's gradient. It comes out in the filter's own order
// [kh, kw, in, out], so nothing is transposed afterwards. Pixels lie as channels, rows, batch,
// columns: the windows of one filter row are then long runs of memory. They are cut in two moves,
// first all column shifts, then a row shift at a time.

/** Physical order channels, rows, batch, columns in terms of NHWC. */
const chnw = [3, 1, 0, 2];

// Products with fewer rows than this are joined into one: they would leave the kernels idle.
const smallestProduct = 64;

/** Pixels with everything that is needed to cut windows out of them. */
interface Windows {
  readonly pixels: OnnxValue;
  /** [top, left, bottom, right] */
  readonly pads: readonly number[];
  readonly taps: readonly [number, number];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Rows and columns of windows. */
  readonly grid: readonly [number, number];
}

/** A matrix [rows, pixels of the batch]. */
interface RowMatrix {
  readonly name: string;
  readonly rows: number;
}

const filterGradient: OnnxLowering = (b, call) => {
  const [x, dy] = inputsOf(call, 'x', 'dy');
  const filter = output(call).shape;
  const geometry = geometryOf(call, filter);
  const [kh, kw, inputs, outputs] = filter;
  const { padding: pads, strides, dilations } = geometry;
  const common = { taps: [kh, kw] as const, strides, dilations };
  if (isUnitStride(geometry) && outputs * narrowing <= inputs) {
    // By windows of `dy`: tap (i, j) of the filter is the last minus (i, j).
    const grid = [x.shape[1], x.shape[2]] as const;
    const windows = { ...common, pixels: dy, pads: turnedPads(geometry), grid };
    const all = products(b, windowRows(b, windows, true), x);
    const name = b.emit('Reshape', [join(b, all), b.int64([kh, kw, outputs, inputs])]);
    return stored(name, filter, 'float32', [0, 1, 3, 2]);
  }
  const grid = [dy.shape[1], dy.shape[2]] as const;
  const all = products(b, windowRows(b, { ...common, pixels: x, pads, grid }), dy);
  const name = b.emit('Reshape', [join(b, all), b.int64(filter)]);
  return stored(name, filter, 'float32');
};

/** For each filter row [columns of taps * channels, windows]; taps backwards when asked. */
function windowRows(b: OnnxBuilder, windows: Windows, isBackwards = false): RowMatrix[] {
  const { pixels, taps, strides, dilations, grid } = windows;
  const padded = padPixels(b, fullName(b, pixels, chnw), windows.pads);
  const shifts = (axis: 0 | 1) =>
    Array.from({ length: taps[axis] }, (_, i) => (isBackwards ? taps[axis] - 1 - i : i));
  const cut = (from: string, onnxAxis: number, axis: 0 | 1, tap: number) => {
    const start = tap * dilations[axis];
    const end = start + (grid[axis] - 1) * strides[axis] + 1;
    const places = [start, end, onnxAxis, strides[axis]];
    return b.emit('Slice', [from, ...places.map((place) => b.int64([place]))]);
  };
  const columnShifts = shifts(1).map((j) => cut(padded, 3, 1, j));
  const columns = join(b, columnShifts);
  const rows = taps[1] * pixels.shape[3];
  const matrix = (name: string, count: number): RowMatrix => ({
    name: b.emit('Reshape', [name, b.int64([count, -1])]),
    rows: count,
  });
  const each = shifts(0).map((i) => cut(columns, 1, 0, i));
  return rows < smallestProduct
    ? [matrix(join(b, each), taps[0] * rows)]
    : each.map((name) => matrix(name, rows));
}

/**
 * Each [rows, pixels of the batch] by the transpose of `value` [channels, pixels of the batch].
 * The longer side of a result is its rows, see sums.ts.
 */
function products(b: OnnxBuilder, windows: readonly RowMatrix[], value: OnnxValue): string[] {
  const channels = value.shape[3];
  const pixels = b.emit('Reshape', [fullName(b, value, chnw), b.int64([channels, -1])]);
  const matrix = { name: pixels, isTransposed: false };
  return windows.map(({ name, rows }) => {
    const window = { name, isTransposed: false };
    if (rows >= channels) return multiply(b, window, { ...matrix, isTransposed: true });
    const turned = multiply(b, matrix, { ...window, isTransposed: true });
    return b.emit('Transpose', [turned], { perm: [1, 0] });
  });
}

function join(b: OnnxBuilder, names: readonly string[]): string {
  return names.length === 1 ? names[0] : b.emit('Concat', names, { axis: 0 });
}

function padPixels(b: OnnxBuilder, name: string, pads: readonly number[]): string {
  if (pads.every((p) => p === 0)) return name;
  const [top, left, bottom, right] = pads;
  return b.emit('Pad', [name, b.int64([0, top, 0, left, 0, bottom, 0, right])]);
}

export const convolutionToOnnx: OnnxLowerings = {
  Conv2D: forward,
  Conv2DBackpropInput: inputGradient,
  Conv2DBackpropFilter: filterGradient,
};
