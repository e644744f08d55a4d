// Convolutions and their gradients, and matrix products: what takes the module's precision. All
// three kinds of convolution are one operation whose dimension numbers differ; they are written as
// XLA's compiler for GPUs expects them, so that it finds cuDNN's routine for each. There a
// convolution of bfloat16 with a float32 result would be computed in float32 throughout, so its
// result is bfloat16 as well (sums inside are float32); a matrix product may widen.

import type { ConvAttributes } from '../../../step-graph.js';
import { attribute, inputsOf, output, type KernelCall } from '../../lowering.js';
import {
  list,
  operandNames,
  type HloType,
  type HloValue,
  type StablehloBuilder,
  type StablehloLowerings,
} from '../builder.js';

type Call = KernelCall<HloValue>;

const geometryOf = (call: Call) => call.attrs as unknown as ConvAttributes;

/** The two operands of a product at the module's precision, and what says so. */
function factors(b: StablehloBuilder, operands: readonly HloValue[]) {
  const isNarrow = b.precision === 'bfloat16';
  const word = b.precision === 'float32' ? 'HIGHEST' : 'DEFAULT';
  return {
    narrowed: isNarrow ? operands.map((x) => b.convert(x, 'bfloat16')) : operands,
    precision: [word, word],
  };
}

/** How a filter moves; lists are [height, width]. */
interface Window {
  /** What the axes of image, filter and result are: batch, feature, input, output, or pixels. */
  readonly axes: string;
  /** Rows and columns of zeros before and behind the image; below 0 they are cut off. */
  readonly pad: readonly (readonly number[])[];
  readonly strides?: readonly number[];
  /** How far the image's, and the filter's, values lie apart. */
  readonly imageDilations?: readonly number[];
  readonly filterDilations?: readonly number[];
}

function convolution(
  b: StablehloBuilder,
  operands: readonly HloValue[],
  { axes, pad, strides = [1, 1], imageDilations = [1, 1], filterDilations = [1, 1] }: Window,
  { shape }: HloType,
): HloValue {
  const { narrowed, precision } = factors(b, operands);
  const window = [
    `stride = ${list(strides)}, pad = ${list(pad.map(list))}`,
    `lhs_dilate = ${list(imageDilations)}, rhs_dilate = ${list(filterDilations)}`,
  ];
  const attributes = [
    'batch_group_count = 1 : i64, feature_group_count = 1 : i64',
    `precision_config = ${list(precision.map((word) => `#stablehlo<precision ${word}>`))}`,
  ];
  const text =
    `stablehlo.convolution(${operandNames(narrowed)}) dim_numbers = ${axes}, ` +
    `window = {${window.join(', ')}} {${attributes.join(', ')}}`;
  return b.convert(b.write(text, narrowed, { shape, dtype: narrowed[0].dtype }), 'float32');
}

/** One axis of a convolution: extents, how the filter moves, and the zeros around the image. */
interface Axis {
  readonly image: number;
  readonly filter: number;
  readonly result: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  readonly behind: number;
}

/** The axes [height, width] of a convolution between such shapes. */
function axesOf(call: Call, image: HloType, filter: HloType, result: HloType): Axis[] {
  const { strides, dilations, padding } = geometryOf(call);
  return [0, 1].map((i) => ({
    image: image.shape[1 + i],
    filter: filter.shape[i],
    result: result.shape[1 + i],
    ...{ stride: strides[i], dilation: dilations[i] },
    ...{ before: padding[i], behind: padding[i + 2] },
  }));
}

/** From the first to the last of `count` values that lie `distance` apart. */
const reach = (count: number, distance: number): number => (count - 1) * distance + 1;

/** For the gradient by the image: each pixel sees all of the filter that has reached it. */
function padOfImage({ image, filter, result, stride, dilation, before }: Axis): number[] {
  const most = reach(filter, dilation) - 1;
  return [most - before, image + before - reach(result, stride)];
}

/** For the gradient by the filter: pixels that no window has reached are cut off. */
function padOfFilter({ image, filter, result, stride, dilation, before }: Axis): number[] {
  return [before, reach(filter, dilation) - 1 + reach(result, stride) - image - before];
}

export const convolutionToStablehlo: StablehloLowerings = {
  Conv2D: (b, call) => {
    const [x, filter] = inputsOf(call, 'x', 'filter');
    const { strides, dilations } = geometryOf(call);
    const window = {
      axes: '[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]',
      pad: axesOf(call, x, filter, output(call)).map(({ before, behind }) => [before, behind]),
      ...{ strides, filterDilations: dilations },
    };
    return convolution(b, [x, filter], window, output(call));
  },
  Conv2DBackpropInput: (b, call) => {
    const [dy, filter] = inputsOf(call, 'dy', 'filter');
    const { strides, dilations } = geometryOf(call);
    const window = {
      axes: '[b, 0, 1, f]x[0, 1, o, i]->[b, 0, 1, f]',
      pad: axesOf(call, output(call), filter, dy).map(padOfImage),
      ...{ imageDilations: strides, filterDilations: dilations },
    };
    const turned = b.op('reverse', [filter], filter, ', dims = [0, 1]');
    return convolution(b, [dy, turned], window, output(call));
  },
  // The gradient is the filter, and pictures are summed over as channels are elsewhere.
  Conv2DBackpropFilter: (b, call) => {
    const [x, dy] = inputsOf(call, 'x', 'dy');
    const { strides, dilations } = geometryOf(call);
    const window = {
      axes: '[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]',
      pad: axesOf(call, x, output(call), dy).map(padOfFilter),
      ...{ strides: dilations, filterDilations: strides },
    };
    return convolution(b, [x, dy], window, output(call));
  },
  BatchMatMul: (b, call) => {
    const { shape } = output(call);
    const [stack, rank] = [shape.slice(0, -2), shape.length];
    const whole = inputsOf(call, 'a', 'b').map((x) =>
      b.broadcast(x, [...stack, ...x.shape.slice(-2)]),
    );
    const { narrowed, precision } = factors(b, whole);
    const left = attribute<boolean>(call, 'transposeA') ? rank - 2 : rank - 1;
    const right = attribute<boolean>(call, 'transposeB') ? rank - 1 : rank - 2;
    const axes = list(stack.map((_, axis) => axis));
    const batching = stack.length === 0 ? '' : `, batching_dims = ${axes} x ${axes}`;
    const over = `, contracting_dims = [${left}] x [${right}]`;
    const rest = `${batching}${over}, precision = ${list(precision)}`;
    return b.op('dot_general', narrowed, { shape, dtype: 'float32' }, rest);
  },
};
