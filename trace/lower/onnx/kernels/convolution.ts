// Convolutions and their gradients with respect to the input. ONNX wants pixels as NCHW and
// filters as OIHW; ConvTranspose is the gradient of Conv, and at stride 1 so is a Conv with the
// filter turned around, which ONNX Runtime computes faster unless there are few input channels.

import type { ConvAttributes } from '../../../record/networks.js';
import type { OnnxBuilder } from '../builder.js';
import { input, outputShape, type KernelCall, type Lowering } from '../lowering.js';
import { filterGradient, type Geometry } from './filter-gradient.js';
import { fullName, nchw, plainName, stored, type OnnxValue } from '../value.js';

// From so many times more channels in than out on, a product and a scatter is faster.
const narrowing = 4;

function geometryOf(call: KernelCall, filter: readonly number[]): Geometry {
  return { ...(call.attrs as unknown as ConvAttributes), filter };
}

function isUnitStride({ strides, dilations }: ConvAttributes): boolean {
  return [...strides, ...dilations].every((n) => n === 1);
}

/** Filter [kh, kw, in, out] as [out, in, kh, kw]: two moves of one axis are faster than one. */
function straightFilter(b: OnnxBuilder, filter: OnnxValue): string {
  const [kh, kw, inputs, outputs] = filter.shape as [number, number, number, number];
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
  const [kh, kw, inputs, outputs] = filter.shape as [number, number, number, number];
  const taps = kh * kw;
  const plain = b.emit('Reshape', [plainName(b, filter), b.int64([taps, inputs, outputs])]);
  const backwards = b.int64(Array.from({ length: taps }, (_, i) => taps - 1 - i));
  const turned = taps === 1 ? plain : b.emit('Gather', [plain, backwards], { axis: 0 });
  const moved = b.emit('Transpose', [turned], { perm: [1, 2, 0] });
  return b.emit('Reshape', [moved, b.int64([inputs, outputs, kh, kw])]);
}

/** The padding with which a convolution with the turned filter undoes one with `padding`. */
function turnedPads({ filter, padding }: Geometry): number[] {
  const [kh, kw] = [filter[0], filter[1]];
  return padding.map((p, i) => (i % 2 === 0 ? kh : kw) - 1 - p);
}

const forward: Lowering = (b, call) => {
  const [x, filter] = [input(call, 'x'), input(call, 'filter')];
  const geometry = geometryOf(call, filter.shape);
  const [kh, kw, inputs, outputs] = filter.shape as [number, number, number, number];
  const bias = call.inputs['bias'] === undefined ? [] : [plainName(b, input(call, 'bias'))];
  const pixels = fullName(b, x, nchw);
  const isNarrowing = isUnitStride(geometry) && kh * kw > 1 && outputs * narrowing <= inputs;
  const turned = turnedPads(geometry);
  const name =
    isNarrowing && turned.every((p) => p >= 0)
      ? b.emit('ConvTranspose', [pixels, turnedFilter(b, filter), ...bias], { pads: turned })
      : b.emit('Conv', [pixels, straightFilter(b, filter), ...bias], {
          kernel_shape: [kh, kw],
          pads: geometry.padding,
          strides: geometry.strides,
          dilations: geometry.dilations,
        });
  return stored(name, outputShape(call), 'float32', nchw);
};

const backpropInput: Lowering = (b, call) => {
  const [dy, filter] = [input(call, 'dy'), input(call, 'filter')];
  const geometry = geometryOf(call, filter.shape);
  const [kh, kw, inputs, outputs] = filter.shape as [number, number, number, number];
  const pixels = fullName(b, dy, nchw);
  const turned = turnedPads(geometry);
  const isConv = isUnitStride(geometry) && outputs <= narrowing * inputs;
  const name =
    isConv && turned.every((p) => p >= 0)
      ? b.emit('Conv', [pixels, turnedFilter(b, filter)], { kernel_shape: [kh, kw], pads: turned })
      : b.emit('ConvTranspose', [pixels, straightFilter(b, filter)], {
          kernel_shape: [kh, kw],
          pads: geometry.padding,
          strides: geometry.strides,
          dilations: geometry.dilations,
          output_padding: outputPadding(geometry, outputShape(call), dy.shape),
        });
  return stored(name, outputShape(call), 'float32', nchw);
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

export const convolutionLowerings: Readonly<Record<string, Lowering>> = {
  Conv2D: forward,
  Conv2DBackpropInput: backpropInput,
  Conv2DBackpropFilter: (b, call) =>
    filterGradient(b, input(call, 'x'), input(call, 'dy'), geometryOf(call, outputShape(call))),
};
