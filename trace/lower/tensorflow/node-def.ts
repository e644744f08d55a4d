// The words of TensorFlow's GraphDef, spelled as protobuf's JSON form: the topology of a TF.js
// graph model as it is, and by proto.ts the bytes of a saved model. It knows nothing of step graphs.

import type { DType } from '../../step-graph.js';

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
  readonly attr?: Readonly<Record<string, AttrValue>>;
}

/** A weight: its values are found in weights.bin, one behind the other in this order. */
export interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: 'float32' | 'int32';
  readonly data: Float32Array | Int32Array;
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
export function integersAttr(values: readonly number[]): AttrValue {
  return { list: { i: values.map(String) } };
}

/** Negative extents are unknown ones. */
export function tensorShape(extents: readonly number[]): TensorShape {
  return { dim: extents.map((extent) => ({ size: String(extent) })) };
}
