// The gradient of a convolution with respect to its filter, for which ONNX has no operator: one
// matrix product of all windows of the input ("columns": a row for each tap and input channel, a
// column for each output pixel of the whole batch) with the output's gradient. The product comes
// out in the filter's own order [kh, kw, in, out], so nothing is transposed afterwards.

import type { OnnxBuilder } from '../builder.js';
import { microsoft } from '../builder.js';
import { cnhw, fullName, stored, type OnnxValue } from '../value.js';
import type { Geometry } from './convolution.js';

// From so many times more channels in than out on, windows of the output's gradient are cheaper.
const narrowing = 4;

/** Pixels in the order CNHW with everything that is needed to cut windows out of them. */
interface Windows {
  readonly pixels: OnnxValue;
  /** [top, left, bottom, right]; negative where rows or columns are not used. */
  readonly pads: readonly number[];
  readonly taps: readonly [number, number];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Extents of the windows' grid. */
  readonly grid: readonly [number, number];
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
  const grid = [dy.shape[1]!, dy.shape[2]!] as const;
  const windows: Windows = { pixels: x, pads: padding, taps: [kh, kw], strides, dilations, grid };
  const product = b.emit(
    'FusedMatMul',
    [columns(b, windows), rowsOf(b, dy)],
    { transA: 0, transB: 1 },
    microsoft,
  );
  const name = b.emit('Reshape', [product, b.int64([kh, kw, inputs, outputs])]);
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
  const grid = [x.shape[1]!, x.shape[2]!] as const;
  const unit = [1, 1];
  const windows: Windows = {
    pixels: dy,
    pads,
    taps: [kh, kw],
    strides: unit,
    dilations: unit,
    grid,
  };
  const inputsOf = [rowsOf(b, x), columns(b, windows, true)];
  const product = b.emit('FusedMatMul', inputsOf, { transA: 0, transB: 1 }, microsoft);
  const name = b.emit('Reshape', [product, b.int64([inputs, kh, kw, outputs])]);
  return stored(name, filter, 'float32', [2, 0, 1, 3]);
}

/** [channels, pixels of the batch] */
function rowsOf(b: OnnxBuilder, value: OnnxValue): string {
  return b.emit('Reshape', [fullName(b, value, cnhw), b.int64([value.shape[3]!, -1])]);
}

/** [taps * channels, windows of the batch]; taps backwards when asked. */
function columns(b: OnnxBuilder, windows: Windows, isBackwards = false): string {
  const { pixels, taps, strides, dilations, grid } = windows;
  const padded = padPixels(b, fullName(b, pixels, cnhw), windows.pads);
  const all: string[] = [];
  for (let i = 0; i < taps[0]; i++)
    for (let j = 0; j < taps[1]; j++) {
      const starts = [i * dilations[0]!, j * dilations[1]!];
      const ends = starts.map((start, axis) => start + (grid[axis]! - 1) * strides[axis]! + 1);
      const inputs = [padded, b.int64(starts), b.int64(ends), b.int64([2, 3]), b.int64(strides)];
      all.push(b.emit('Slice', inputs));
    }
  if (isBackwards) all.reverse();
  const joined = all.length === 1 ? all[0]! : b.emit('Concat', all, { axis: 0 });
  return b.emit('Reshape', [joined, b.int64([taps[0] * taps[1] * pixels.shape[3]!, -1])]);
}

function padPixels(b: OnnxBuilder, name: string, pads: readonly number[]): string {
  if (pads.every((p) => p === 0)) return name;
  const [top, left, bottom, right] = pads as [number, number, number, number];
  return b.emit('Pad', [name, b.int64([0, 0, top, left, 0, 0, bottom, right])]);
}
