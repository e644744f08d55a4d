// The words of a TF.js graph model's topology: TensorFlow's GraphDef, spelled as JSON. It knows
// nothing of step graphs.

/** A node attribute, as protobuf's JSON form has it: strings are base64, 64-bit integers text. */
export type AttrValue =
  | { readonly type: string }
  | { readonly s: string }
  | { readonly i: string }
  | { readonly f: number }
  | { readonly b: boolean }
  | { readonly list: { readonly i: readonly string[] } }
  | { readonly shape: TensorShape }
  | { readonly tensor: { readonly dtype: string; readonly tensorShape: TensorShape } };

/** Unknown extents are "-1". */
export interface TensorShape {
  readonly dim: readonly { readonly size: string }[];
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

const typeNames = { float32: 'DT_FLOAT', int32: 'DT_INT32' } as const;

/** "DT_FLOAT" for float32. */
export function typeName(dtype: 'float32' | 'int32'): string {
  return typeNames[dtype];
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
