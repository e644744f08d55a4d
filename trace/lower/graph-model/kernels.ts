// Which TensorFlow operation each kernel becomes: the kernels of a generator's forward pass. Extend
// the table here; a kernel that is missing is refused by name.

import type { GraphNode, GraphValue } from '../../step-graph.js';
import type { ConvAttributes } from '../../record/networks.js';
import { integerAttr, stringAttr, type AttrValue } from '../tensorflow/node-def.js';
import { convolutionAttrs, paddingName } from '../tensorflow/padding.js';

/** An operation for a node; its inputs are the node's in their order, then `constants`. */
export interface Operation {
  readonly op: string;
  readonly attr?: Readonly<Record<string, AttrValue>>;
  readonly constants?: readonly IntegerConstant[];
}

/** Small integers that TensorFlow wants as an input (paddings, an axis). */
export interface IntegerConstant {
  readonly label: string;
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** How a kernel is lowered, from its node and the shapes of its inputs. */
export type KernelLowering = (node: GraphNode, inputs: readonly GraphValue[]) => Operation;

const same =
  (op: string): KernelLowering =>
  () => ({ op });

const conv2d: KernelLowering = ({ attrs }, inputs) => {
  const geometry = attrs as unknown as ConvAttributes;
  const [image, filter] = inputs.map(({ shape }) => shape) as [number[], number[]];
  const padding = paddingName(image.slice(1, 3), filter.slice(0, 2), geometry);
  // With strides, what "SAME" means depends on the extents, which may be open.
  const isOfAnyExtent = padding === 'VALID' || geometry.strides.every((stride) => stride === 1);
  return { op: 'Conv2D', attr: convolutionAttrs(geometry, isOfAnyExtent ? padding : undefined) };
};

export const kernelLowerings: Readonly<Record<string, KernelLowering>> = {
  Add: same('AddV2'),
  Sub: same('Sub'),
  Multiply: same('Mul'),
  RealDiv: same('RealDiv'),
  Relu: same('Relu'),
  Rsqrt: same('Rsqrt'),
  Sigmoid: same('Sigmoid'),
  Tanh: same('Tanh'),
  Prelu: same('Prelu'),
  LeakyRelu: ({ attrs }) => ({ op: 'LeakyRelu', attr: { alpha: { f: attrs['alpha'] as number } } }),
  Conv2D: conv2d,
  DepthToSpace: ({ attrs }) => ({
    op: 'DepthToSpace',
    attr: { block_size: integerAttr(attrs['block'] as number), data_format: stringAttr('NHWC') },
  }),
  Concat: ({ attrs, inputs }) => ({
    op: 'ConcatV2',
    attr: { N: integerAttr(Object.keys(inputs).length) },
    constants: [{ label: 'axis', shape: [], values: [attrs['axis'] as number] }],
  }),
  MirrorPad: ({ attrs }) => {
    const paddings = attrs['paddings'] as readonly (readonly [number, number])[];
    return {
      op: 'MirrorPad',
      attr: { mode: stringAttr(String(attrs['mode']).toUpperCase()) },
      constants: [{ label: 'paddings', shape: [paddings.length, 2], values: paddings.flat() }],
    };
  },
};
