// Which TensorFlow operation each kernel becomes: the kernels of a generator's forward pass. Extend
// the table here; a kernel that is missing is refused by name.

import type { GraphNode, GraphValue } from '../../step-graph.js';
import { integerAttr, integersAttr, stringAttr, type AttrValue } from './node-def.js';

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
  const [strideHeight, strideWidth] = attrs['strides'] as [number, number];
  const [dilationHeight, dilationWidth] = attrs['dilations'] as [number, number];
  const padding = attrs['padding'] as readonly [number, number, number, number];
  return {
    op: 'Conv2D',
    attr: {
      strides: integersAttr([1, strideHeight, strideWidth, 1]),
      dilations: integersAttr([1, dilationHeight, dilationWidth, 1]),
      data_format: stringAttr('NHWC'),
      ...paddingOf(padding, inputs[1]!.shape, attrs),
    },
  };
};

/** "SAME" and "VALID" where they are meant, so that every TF.js backend can run the model. */
function paddingOf(
  [top, left, bottom, right]: readonly [number, number, number, number],
  [height, width]: readonly number[],
  attrs: GraphNode['attrs'],
): Record<string, AttrValue> {
  if (top + left + bottom + right === 0) return { padding: stringAttr('VALID') };
  const isPlain = [attrs['strides'], attrs['dilations']].flat().every((factor) => factor === 1);
  const half = (extent: number) => (extent - 1) / 2;
  const isSame = [top, bottom].every((pad) => pad === half(height!));
  if (isPlain && isSame && [left, right].every((pad) => pad === half(width!)))
    return { padding: stringAttr('SAME') };
  return {
    padding: stringAttr('EXPLICIT'),
    explicit_paddings: integersAttr([0, 0, top, bottom, left, right, 0, 0]),
  };
}

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
