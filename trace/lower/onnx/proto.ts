// The part of ONNX's protobuf format that Lockstep writes, and its encoding.
// Field numbers: onnx/onnx.proto of the ONNX project (IR version 8).

import protobuf from 'protobufjs';

/** Numbers of ONNX's TensorProto.DataType. */
export const onnxTypes = { float32: 1, int32: 6, int64: 7, bool: 9 } as const;

export type OnnxType = keyof typeof onnxTypes;

/** A number, a text, whole numbers, or `{ float }` for a floating-point attribute. */
type OnnxAttribute = number | string | readonly number[] | { readonly float: number };

export type OnnxAttributes = Readonly<Record<string, OnnxAttribute>>;

/** An operator with one output. */
export interface OnnxNode {
  readonly op: string;
  /** '' is ONNX's standard operators. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attrs: OnnxAttributes;
}

export interface OnnxInitializer {
  readonly name: string;
  readonly dims: readonly number[];
  readonly type: OnnxType;
  readonly bytes: Uint8Array;
}

/** An input or output of the model; a text is a symbolic dimension. */
export interface OnnxPort {
  readonly name: string;
  /** Undefined when the model does not say. */
  readonly dims: readonly (number | string)[] | undefined;
  readonly type: OnnxType;
}

export interface OnnxModel {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
}

const opset = 17;
const irVersion = 8;

const schema = protobuf.parse(
  `syntax = "proto2";
  message ModelProto {
    optional int64 ir_version = 1;
    optional string producer_name = 2;
    optional GraphProto graph = 7;
    repeated OperatorSetIdProto opset_import = 8;
  }
  message OperatorSetIdProto { optional string domain = 1; optional int64 version = 2; }
  message GraphProto {
    repeated NodeProto node = 1;
    optional string name = 2;
    repeated TensorProto initializer = 5;
    repeated ValueInfoProto input = 11;
    repeated ValueInfoProto output = 12;
  }
  message NodeProto {
    repeated string input = 1;
    repeated string output = 2;
    optional string name = 3;
    optional string op_type = 4;
    repeated AttributeProto attribute = 5;
    optional string domain = 7;
  }
  message AttributeProto {
    optional string name = 1;
    optional float f = 2;
    optional int64 i = 3;
    optional bytes s = 4;
    repeated int64 ints = 8;
    optional int32 type = 20;
  }
  message TensorProto {
    repeated int64 dims = 1;
    optional int32 data_type = 2;
    optional string name = 8;
    optional bytes raw_data = 9;
  }
  message ValueInfoProto { optional string name = 1; optional TypeProto type = 2; }
  message TypeProto {
    message Tensor { optional int32 elem_type = 1; optional TensorShapeProto shape = 2; }
    optional Tensor tensor_type = 1;
  }
  message TensorShapeProto {
    message Dimension { optional int64 dim_value = 1; optional string dim_param = 2; }
    repeated Dimension dim = 1;
  }`,
  { keepCase: true },
).root;
const modelType = schema.lookupType('ModelProto');

/** Encodes a model as an ONNX file. */
export function encodeModel(model: OnnxModel): Uint8Array {
  const domains = [...new Set(['', ...model.nodes.map((node) => node.domain)])];
  const message = {
    ir_version: irVersion,
    producer_name: 'lockstep',
    graph: {
      name: 'lockstep',
      node: model.nodes.map(nodeMessage),
      initializer: model.initializers.map(({ name, dims, type, bytes }) => ({
        name,
        dims,
        data_type: onnxTypes[type],
        raw_data: bytes,
      })),
      input: model.inputs.map(portMessage),
      output: model.outputs.map(portMessage),
    },
    opset_import: domains.map((domain) => ({ domain, version: domain === '' ? opset : 1 })),
  };
  return modelType.encode(message).finish();
}

function nodeMessage(node: OnnxNode): object {
  return {
    input: node.inputs,
    output: [node.output],
    name: `${node.op} ${node.output}`,
    op_type: node.op,
    attribute: Object.entries(node.attrs).map(([name, value]) => attributeMessage(name, value)),
    ...(node.domain === '' ? {} : { domain: node.domain }),
  };
}

// Numbers of AttributeProto.AttributeType: FLOAT 1, INT 2, STRING 3, INTS 7.
function attributeMessage(name: string, value: OnnxAttribute): object {
  if (typeof value === 'number') return { name, i: value, type: 2 };
  if (typeof value === 'string') return { name, s: Buffer.from(value), type: 3 };
  if ('float' in value) return { name, f: value.float, type: 1 };
  return { name, ints: value, type: 7 };
}

function portMessage({ name, dims, type }: OnnxPort): object {
  const dim = dims?.map((d) => (typeof d === 'string' ? { dim_param: d } : { dim_value: d }));
  const shape = dim === undefined ? {} : { shape: { dim } };
  return { name, type: { tensor_type: { elem_type: onnxTypes[type], ...shape } } };
}
