// Pooling and its gradients. ONNX has no operator for the gradients: where windows lie side by
// side, each pixel has one window, so the gradient of a window is enlarged to its pixels, for a
// maximum to those that equal it.

import { attribute, input, inputsOf, output, type KernelCall } from '../../lowering.js';
import type { OnnxBuilder } from '../builder.js';
import {
  fullName,
  nchw,
  stored,
  type OnnxLowering,
  type OnnxLowerings,
  type OnnxValue,
} from '../value.js';
import { elementwise, scalar } from './elementwise.js';
import { repeatPixels } from './movement.js';

const pool =
  (op: string): OnnxLowering =>
  (b, call) => {
    const [side, stride] = [attribute<number>(call, 'side'), attribute<number>(call, 'stride')];
    const window = { kernel_shape: [side, side], strides: [stride, stride] };
    const name = b.emit(op, [fullName(b, input(call, 'x'), nchw)], window);
    return stored(name, output(call).shape, 'float32', nchw);
  };

/** A value a window, repeated for each of its pixels. */
function spread(b: OnnxBuilder, call: KernelCall<OnnxValue>, windows: OnnxValue): OnnxValue {
  const [side, stride] = [attribute<number>(call, 'side'), attribute<number>(call, 'stride')];
  const { shape } = output(call);
  const isWhole = [1, 2].every((axis) => shape[axis] === windows.shape[axis] * side);
  if (side !== stride || !isWhole)
    throw new Error(`${call.kernel} has a lowering to ONNX for windows that tile the picture only`);
  return repeatPixels(b, windows, shape, [side, side]);
}

export const poolingToOnnx: OnnxLowerings = {
  MaxPool: pool('MaxPool'),
  AvgPool: pool('AveragePool'),
  MaxPoolGrad: (b, call) => {
    const [dy, x, y] = inputsOf(call, 'dy', 'input', 'output');
    const isLargest = elementwise(b, 'Equal', [x, spread(b, call, y)], 'bool');
    return elementwise(b, 'Where', [isLargest, spread(b, call, dy), scalar(0)]);
  },
  AvgPoolGrad: (b, call) => {
    const count = scalar(attribute<number>(call, 'side') ** 2);
    return spread(b, call, elementwise(b, 'Div', [input(call, 'dy'), count]));
  },
};
