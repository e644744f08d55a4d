// Kernels that move values without computing on them, and constants of one number.

import { integerAttr, stringAttr, typeAttr } from '../node-def.js';
import type { GraphDefBuilder } from '../builder.js';
import { attribute, input, output, type Lowering, type Operand } from '../lowering.js';
import { reshaped } from './reduction.js';

/** One operation with x and small integers, an attribute of the kernel. */
const withIntegers =
  (op: string, name: string): Lowering =>
  (b, call) => {
    const x = input(call, 'x');
    return b.op(op, [x.name, b.integers(attribute<readonly number[]>(call, name))], {}, x.dtype);
  };

const fill: Lowering = (b, call) => {
  const { shape, dtype } = output(call);
  return b.constant(shape, dtype, { kind: 'fill', value: attribute<number>(call, 'value') });
};

const blocks =
  (op: string): Lowering =>
  (b, call) => {
    const attr = {
      block_size: integerAttr(attribute<number>(call, 'block')),
      data_format: stringAttr('NHWC'),
    };
    return b.op(op, [input(call, 'x').name], attr, output(call).dtype);
  };

/** Parts of `x` along an axis; all parts' sizes together are its extent. */
export function split(
  b: GraphDefBuilder,
  x: Operand,
  sizes: readonly number[],
  axis: number,
): string[] {
  const attr = { num_split: integerAttr(sizes.length), Tlen: typeAttr('int32') };
  const inputs = [x.name, b.integers(sizes), b.scalar(axis, 'int32')];
  const name = b.op('SplitV', inputs, attr, x.dtype);
  return sizes.map((_, i) => `${name}:${i}`);
}

type Paddings = readonly (readonly [number, number])[];

export const movementLowerings: Readonly<Record<string, Lowering>> = {
  Reshape: (b, call) => reshaped(b, input(call, 'x'), output(call).shape),
  ExpandDims: (b, call) => reshaped(b, input(call, 'input'), output(call).shape),
  Transpose: withIntegers('Transpose', 'perm'),
  Tile: withIntegers('Tile', 'reps'),
  BroadcastTo: (b, call) => {
    const x = input(call, 'x');
    return b.op('BroadcastTo', [x.name, b.integers(output(call).shape)], {}, x.dtype);
  },
  Concat: (b, call) => {
    const names = Object.values(call.inputs).map(({ name }) => name);
    const axis = b.scalar(attribute<number>(call, 'axis'), 'int32');
    return b.op('ConcatV2', [...names, axis], { N: integerAttr(names.length) }, output(call).dtype);
  },
  Slice: (b, call) => {
    const x = input(call, 'x');
    const [begin, size] = ['begin', 'size'].map((name) => b.integers(attribute(call, name)));
    return b.op('Slice', [x.name, begin, size], { Index: typeAttr('int32') }, x.dtype);
  },
  SplitV: (b, call) => {
    const sizes = attribute<readonly number[]>(call, 'sizes');
    return split(b, input(call, 'x'), sizes, attribute<number>(call, 'axis'));
  },
  PadV2: (b, call) => {
    const [x, paddings] = [input(call, 'x'), attribute<Paddings>(call, 'paddings')];
    const around = b.integers(paddings.flat(), [paddings.length, 2]);
    const value = b.scalar(attribute<number>(call, 'value'), x.dtype);
    return b.op('PadV2', [x.name, around, value], {}, x.dtype);
  },
  MirrorPad: (b, call) => {
    const [x, paddings] = [input(call, 'x'), attribute<Paddings>(call, 'paddings')];
    const around = b.integers(paddings.flat(), [paddings.length, 2]);
    const mode = stringAttr(attribute<string>(call, 'mode').toUpperCase());
    return b.op('MirrorPad', [x.name, around], { mode }, x.dtype);
  },
  Fill: fill,
  ZerosLike: fill,
  OnesLike: fill,
  DepthToSpace: blocks('DepthToSpace'),
  SpaceToDepth: blocks('SpaceToDepth'),
};
