// Convolutions and their two gradients: one operation each. The gradients know padding by name
// only; other paddings become zeros around the image and a convolution without any.

import type { ConvAttributes } from '../../../record/networks.js';
import type { GraphDefBuilder } from '../builder.js';
import { input, output, type KernelCall, type Lowering } from '../lowering.js';
import { convolutionAttrs, paddingName } from '../padding.js';

const geometryOf = (call: KernelCall) => call.attrs as unknown as ConvAttributes;

function paddingOf(call: KernelCall, image: readonly number[], filter: readonly number[]) {
  return paddingName(image.slice(1, 3), filter.slice(0, 2), geometryOf(call));
}

/** The image [n, h, w, c] with zeros around it, and its shape then. */
function surrounded(image: readonly number[], { padding }: ConvAttributes) {
  const [n, h, w, c] = image as [number, number, number, number];
  const [top, left, bottom, right] = padding;
  return {
    shape: [n, h + top + bottom, w + left + right, c],
    zeros: (b: GraphDefBuilder) => b.integers([0, 0, top, bottom, left, right, 0, 0], [4, 2]),
    begin: [0, top, left, 0],
  };
}

export const convolutionLowerings: Readonly<Record<string, Lowering>> = {
  Conv2D: (b, call) => {
    const [x, filter] = [input(call, 'x'), input(call, 'filter')];
    const padding = paddingOf(call, x.shape, filter.shape);
    return b.op('Conv2D', [x.name, filter.name], convolutionAttrs(geometryOf(call), padding));
  },
  Conv2DBackpropInput: (b, call) => {
    const [dy, filter] = [input(call, 'dy').name, input(call, 'filter')];
    const { shape } = output(call);
    const padding = paddingOf(call, shape, filter.shape);
    const gradient = (of: readonly number[], by: 'SAME' | 'VALID') => {
      const attrs = convolutionAttrs(geometryOf(call), by);
      return b.op('Conv2DBackpropInput', [b.integers(of), filter.name, dy], attrs);
    };
    if (padding !== undefined) return gradient(shape, padding);
    const around = surrounded(shape, geometryOf(call));
    const whole = gradient(around.shape, 'VALID');
    return b.op('Slice', [whole, b.integers(around.begin), b.integers(shape)]);
  },
  Conv2DBackpropFilter: (b, call) => {
    const [x, dy] = [input(call, 'x'), input(call, 'dy').name];
    const { shape } = output(call);
    const padding = paddingOf(call, x.shape, shape);
    const gradient = (of: string, by: 'SAME' | 'VALID') => {
      const attrs = convolutionAttrs(geometryOf(call), by);
      return b.op('Conv2DBackpropFilter', [of, b.integers(shape), dy], attrs);
    };
    if (padding !== undefined) return gradient(x.name, padding);
    const around = surrounded(x.shape, geometryOf(call));
    return gradient(b.op('Pad', [x.name, around.zeros(b)]), 'VALID');
  },
};
