// The words of TensorFlow's GraphDef, spelled as protobuf's JSON form: the topology of a TF.js
// graph model as it is, and by saved-model.ts the bytes of a saved model.

import type { ConvAttributes, DType } from '../../step-graph.js';

/** A node attribute, as protobuf's JSON form has it: strings are base64, 64-bit integers text. */
export type AttrValue =
  | { readonly type: string }
  | { readonly s: string }
  | { readonly i: string }
  | { readonly f: number }
  | { readonly b: boolean }
  | { readonly list: { readonly i: readonly string[] } }
  | { readonly shape: TensorShape }
  | { readonly tensor: TensorProto };

export type AttrValues = Readonly<Record<string, AttrValue>>;

/** Unknown extents are "-1". */
export interface TensorShape {
  readonly dim: readonly { readonly size: string }[];
}

/** A constant: its bytes in base64, or one number that fills it; neither where they lie apart. */
export interface TensorProto {
  readonly dtype: string;
  readonly tensorShape: TensorShape;
  readonly tensorContent?: string;
  readonly floatVal?: readonly number[];
  readonly intVal?: readonly number[];
  readonly boolVal?: readonly boolean[];
}

export interface NodeDef {
  readonly name: string;
  readonly op: string;
  readonly input?: readonly string[];
  readonly attr?: AttrValues;
}

const typeNames = { float32: 'DT_FLOAT', int32: 'DT_INT32', bool: 'DT_BOOL' } as const;

/** "DT_FLOAT" for float32. */
export function typeName(dtype: DType): string {
  return typeNames[dtype];
}

/** An attribute that names a type. */
export function typeAttr(dtype: DType): AttrValue {
  return { type: typeName(dtype) };
}

/** A text, in base64. */
export function stringAttr(text: string): AttrValue {
  return { s: Buffer.from(text).toString('base64') };
}

/** A 64-bit integer. */
export function integerAttr(value: number): AttrValue {
  return { i: String(value) };
}

/** A list of 64-bit integers. */
function integersAttr(values: readonly number[]): AttrValue {
  return { list: { i: values.map(String) } };
}

/** Negative extents are unknown ones. */
export function tensorShape(extents: readonly number[]): TensorShape {
  return { dim: extents.map((extent) => ({ size: String(extent) })) };
}

/**
 * A convolution's padding by name, since not every operation and backend takes numbers:
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
): AttrValues {
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

/** Attributes of pooling over windows of `side` pixels, `stride` apart, unpadded, NHWC. */
export function poolingAttrs(side: number, stride: number): AttrValues {
  return {
    ksize: integersAttr([1, side, side, 1]),
    strides: integersAttr([1, stride, stride, 1]),
    padding: stringAttr('VALID'),
    data_format: stringAttr('NHWC'),
  };
}
