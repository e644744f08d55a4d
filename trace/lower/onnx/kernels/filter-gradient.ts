// The gradient of a convolution with respect to its filter, for which ONNX has no operator: a
// matrix product of all windows of the input with the output's gradient. It comes out in the
// filter's own order [kh, kw, in, out], so nothing is transposed afterwards.
// Pixels lie as channels, rows, batch, columns: the windows of one filter row are then long runs
// of memory. They are cut in two moves, first all column shifts, then a row shift at a time.

import type { ConvAttributes } from '../../../record/networks.js';
import type { OnnxBuilder } from '../builder.js';
import { fullName, stored, type OnnxValue } from '../value.js';
import { multiply } from './products.js';

/** The geometry of a convolution call: attributes and filter [kh, kw, in, out]. */
export interface Geometry extends ConvAttributes {
  readonly filter: readonly number[];
}

/** Physical order channels, rows, batch, columns in terms of NHWC. */
const chnw = [3, 1, 0, 2];

// From so many times more channels in than out on, windows of the output's gradient are cheaper.
const narrowing = 4;

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

/** Gradient [kh, kw, in, out] of the filter, from input `x` and the output's gradient `dy`. */
export function filterGradient(
  b: OnnxBuilder,
  x: OnnxValue,
  dy: OnnxValue,
  geometry: Geometry,
): OnnxValue {
  const [kh, kw, inputs, outputs] = geometry.filter as [number, number, number, number];
  const { strides, dilations, padding } = geometry;
  const isUnit = [...strides, ...dilations].every((n) => n === 1);
  if (isUnit && outputs * narrowing <= inputs) return throughOutput(b, x, dy, geometry);
  const grid = [dy.shape[1], dy.shape[2]] as const;
  const windows: Windows = { pixels: x, pads: padding, taps: [kh, kw], strides, dilations, grid };
  const all = products(b, windowRows(b, windows), dy);
  const name = b.emit('Reshape', [join(b, all), b.int64(geometry.filter)]);
  return stored(name, geometry.filter, 'float32');
}

/** The same by windows of `dy` at stride 1: tap (i, j) of the filter is the last minus (i, j). */
function throughOutput(
  b: OnnxBuilder,
  x: OnnxValue,
  dy: OnnxValue,
  { filter, padding }: Geometry,
): OnnxValue {
  const [kh, kw, inputs, outputs] = filter as [number, number, number, number];
  const pads = padding.map((p, i) => (i % 2 === 0 ? kh : kw) - 1 - p);
  const grid = [x.shape[1], x.shape[2]] as const;
  const unit = [1, 1];
  const windows: Windows = {
    pixels: dy,
    pads,
    taps: [kh, kw],
    strides: unit,
    dilations: unit,
    grid,
  };
  const all = products(b, windowRows(b, windows, true), x);
  const name = b.emit('Reshape', [join(b, all), b.int64([kh, kw, outputs, inputs])]);
  return stored(name, filter, 'float32', [0, 1, 3, 2]);
}

/** For each filter row [columns of taps * channels, windows]; taps backwards when asked. */
function windowRows(b: OnnxBuilder, windows: Windows, isBackwards = false): RowMatrix[] {
  const { pixels, taps, strides, dilations, grid } = windows;
  const padded = padPixels(b, fullName(b, pixels, chnw), windows.pads);
  const inOrder = <T>(list: T[]) => (isBackwards ? list.reverse() : list);
  const shifts = (axis: 0 | 1) => inOrder(Array.from({ length: taps[axis] }, (_, i) => i));
  const cut = (from: string, onnxAxis: number, axis: 0 | 1, tap: number) => {
    const start = tap * dilations[axis];
    const end = start + (grid[axis] - 1) * strides[axis] + 1;
    const places = [[start], [end], [onnxAxis], [strides[axis]]];
    return b.emit('Slice', [from, ...places.map((place) => b.int64(place))]);
  };
  const columns = join(
    b,
    shifts(1).map((j) => cut(padded, 3, 1, j)),
  );
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
 * The longer side of a result is its rows, see products.ts.
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
  const [top, left, bottom, right] = pads as [number, number, number, number];
  return b.emit('Pad', [name, b.int64([0, top, 0, left, 0, bottom, 0, right])]);
}
