// Convolutions, pooling, batch normalization and matrix products: one operation each, and one for
// each gradient. The gradients of a convolution know padding by name only; other paddings become
// zeros around the image and a convolution without any. The gradient of a normalization takes what
// the forward operation reserved for it, which differs from device to device, and never the
// kernel's own mean and variance.

import type { ConvAttributes } from '../../../step-graph.js';
import { attribute, input, inputsOf, output, type KernelCall } from '../../lowering.js';
import {
  namesOf,
  type GraphDefBuilder,
  type TensorflowLowerings,
  type TensorRef,
} from '../builder.js';
import { convolutionAttrs, paddingName, poolingAttrs, typeAttr } from '../node-def.js';

type Call = KernelCall<TensorRef>;

const geometryOf = (call: Call) => call.attrs as unknown as ConvAttributes;

function paddingOf(call: Call, image: readonly number[], filter: readonly number[]) {
  return paddingName(image.slice(1, 3), filter.slice(0, 2), geometryOf(call));
}

const poolingOf = (call: Call) => poolingAttrs(attribute(call, 'side'), attribute(call, 'stride'));

const forward = 'FusedBatchNormV3';

function batchNormAttrs(call: Call, isTraining: boolean) {
  return {
    U: typeAttr('float32'),
    epsilon: { f: attribute<number>(call, 'epsilon') },
    is_training: { b: isTraining },
  };
}

/** A channel's number, where the kernel was given none. */
function channels(b: GraphDefBuilder, call: Call, name: string, value: number): string {
  const { shape } = input(call, 'mean');
  return call.inputs[name]?.name ?? b.constant(shape, 'float32', { kind: 'fill', value });
}

export const networksToTensorflow: TensorflowLowerings = {
  Conv2D: (b, call) => {
    const [x, filter] = inputsOf(call, 'x', 'filter');
    const padding = paddingOf(call, x.shape, filter.shape);
    return b.op('Conv2D', [x.name, filter.name], convolutionAttrs(geometryOf(call), padding));
  },
  Conv2DBackpropInput: (b, call) => {
    const [dy, filter] = inputsOf(call, 'dy', 'filter');
    const { shape } = output(call);
    const gradient = (of: readonly number[], padding: 'SAME' | 'VALID') => {
      const attrs = convolutionAttrs(geometryOf(call), padding);
      return b.op('Conv2DBackpropInput', [b.integers(of), filter.name, dy.name], attrs);
    };
    const padding = paddingOf(call, shape, filter.shape);
    if (padding !== undefined) return gradient(shape, padding);
    const [top, left, bottom, right] = geometryOf(call).padding;
    const [n, h, w, c] = shape;
    const whole = gradient([n, h + top + bottom, w + left + right, c], 'VALID');
    const cut = [whole, b.integers([0, top, left, 0]), b.integers(shape)];
    return b.op('Slice', cut, { Index: typeAttr('int32') });
  },
  Conv2DBackpropFilter: (b, call) => {
    const [x, dy] = inputsOf(call, 'x', 'dy');
    const { shape } = output(call);
    const gradient = (of: string, padding: 'SAME' | 'VALID') => {
      const attrs = convolutionAttrs(geometryOf(call), padding);
      return b.op('Conv2DBackpropFilter', [of, b.integers(shape), dy.name], attrs);
    };
    const padding = paddingOf(call, x.shape, shape);
    if (padding !== undefined) return gradient(x.name, padding);
    const [top, left, bottom, right] = geometryOf(call).padding;
    const zeros = b.integers([0, 0, top, bottom, left, right, 0, 0], [4, 2]);
    return gradient(b.op('Pad', [x.name, zeros]), 'VALID');
  },
  MaxPool: (b, call) => b.op('MaxPool', [input(call, 'x').name], poolingOf(call)),
  MaxPoolGrad: (b, call) =>
    b.op('MaxPoolGrad', namesOf(inputsOf(call, 'input', 'output', 'dy')), poolingOf(call)),
  AvgPool: (b, call) => b.op('AvgPool', [input(call, 'x').name], poolingOf(call)),
  AvgPoolGrad: (b, call) => {
    const extents = b.integers(output(call).shape);
    return b.op('AvgPoolGrad', [extents, input(call, 'dy').name], poolingOf(call));
  },
  BatchNormTraining: (b, call) => {
    const [x, scale, offset] = inputsOf(call, 'x', 'scale', 'offset');
    const none = b.constant([0], 'float32', { kind: 'data', data: new Float32Array(0) });
    const operands = [x.name, scale.name, offset.name, none, none];
    const name = b.op(forward, operands, batchNormAttrs(call, true));
    // Output 2 is the unbiased variance, divided by one less than the number of values.
    const count = x.shape.slice(0, 3).reduce((product, extent) => product * extent, 1);
    const biased = b.scalar(Math.max(1, count - 1) / count);
    return [name, `${name}:1`, b.op('Mul', [`${name}:2`, biased])];
  },
  BatchNormTrainingGrad: (b, call) => {
    const [reserved, place] = input(call, 'mean').name.split(':');
    if (!reserved.includes(forward) || place !== '1')
      throw new Error('BatchNormTrainingGrad needs the mean that BatchNormTraining gave');
    const spaces = [3, 4, 5].map((i) => `${reserved}:${i}`);
    const operands = [...namesOf(inputsOf(call, 'dy', 'x', 'scale')), ...spaces];
    const name = b.op('FusedBatchNormGradV3', operands, batchNormAttrs(call, true));
    return [name, `${name}:1`, `${name}:2`];
  },
  FusedBatchNorm: (b, call) => {
    const [x, mean, variance] = namesOf(inputsOf(call, 'x', 'mean', 'variance'));
    const [scale, offset] = [channels(b, call, 'scale', 1), channels(b, call, 'offset', 0)];
    return b.op(forward, [x, scale, offset, mean, variance], batchNormAttrs(call, false));
  },
  BatchMatMul: (b, call) => {
    const operands = inputsOf(call, 'a', 'b');
    const [a, c] = ['transposeA', 'transposeB'].map((name) => ({
      b: attribute<boolean>(call, name),
    }));
    if (operands.every(({ shape }) => shape.length === 2))
      return b.op('MatMul', namesOf(operands), { transpose_a: a, transpose_b: c });
    return b.op('BatchMatMulV2', namesOf(operands), { adj_x: a, adj_y: c });
  },
};
