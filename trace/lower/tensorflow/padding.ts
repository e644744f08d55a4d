// How TensorFlow's convolutions are told their padding: by name where a name means it, since not
// every operation and backend takes numbers.

import type { ConvAttributes } from '../../record/networks.js';
import { integersAttr, stringAttr, type AttrValue } from './node-def.js';

/**
 * "SAME", "VALID", or undefined for other paddings. `image` and `filter` are [height, width];
 * "SAME" is what TensorFlow makes of it: as many outputs as strides, odd padding at the end.
 */
export function paddingName(
  image: readonly number[],
  filter: readonly number[],
  { strides, dilations, padding: [top, left, bottom, right] }: ConvAttributes,
): 'SAME' | 'VALID' | undefined {
  if (top + left + bottom + right === 0) return 'VALID';
  const isSame = (axis: 0 | 1, before: number, after: number): boolean => {
    const [extent, stride] = [image[axis], strides[axis]];
    const reach = (filter[axis] - 1) * dilations[axis] + 1;
    const all = Math.max(0, (Math.ceil(extent / stride) - 1) * stride + reach - extent);
    return before === Math.floor(all / 2) && after === all - before;
  };
  return isSame(0, top, bottom) && isSame(1, left, right) ? 'SAME' : undefined;
}

/** Attributes of a convolution, NHWC. */
export function convolutionAttrs(
  { strides, dilations, padding: [top, left, bottom, right] }: ConvAttributes,
  padding: 'SAME' | 'VALID' | undefined,
): Record<string, AttrValue> {
  return {
    strides: integersAttr([1, ...strides, 1]),
    dilations: integersAttr([1, ...dilations, 1]),
    data_format: stringAttr('NHWC'),
    ...(padding === undefined
      ? {
          padding: stringAttr('EXPLICIT'),
          explicit_paddings: integersAttr([0, 0, top, bottom, left, right, 0, 0]),
        }
      : { padding: stringAttr(padding) }),
  };
}
