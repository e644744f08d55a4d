// A GraphDef as a saved model: the file that TensorFlow's own loaders read.
// Field numbers: tensorflow/core/protobuf/{saved_model,meta_graph}.proto and
// tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape,types}.proto.

import protobuf from 'protobufjs';
import type { TensorRef } from './builder.js';
import type { GraphDef } from './lower.js';
import { tensorShape, typeName } from './node-def.js';

const schema = protobuf.parse(
  `syntax = "proto3";
  enum DataType { DT_INVALID = 0; DT_FLOAT = 1; DT_INT32 = 3; DT_BOOL = 10; }
  message SavedModel {
    int64 saved_model_schema_version = 1;
    repeated MetaGraphDef meta_graphs = 2;
  }
  message MetaGraphDef {
    message MetaInfoDef { repeated string tags = 4; }
    MetaInfoDef meta_info_def = 1;
    GraphDef graph_def = 2;
    map<string, SignatureDef> signature_def = 5;
  }
  message SignatureDef {
    map<string, TensorInfo> inputs = 1;
    map<string, TensorInfo> outputs = 2;
    string method_name = 3;
  }
  message TensorInfo { string name = 1; DataType dtype = 2; TensorShapeProto tensor_shape = 3; }
  message GraphDef { repeated NodeDef node = 1; VersionDef versions = 4; }
  message VersionDef { int32 producer = 1; int32 min_consumer = 2; }
  message NodeDef {
    string name = 1;
    string op = 2;
    repeated string input = 3;
    map<string, AttrValue> attr = 5;
  }
  message AttrValue {
    message ListValue { repeated int64 i = 3; }
    oneof value {
      ListValue list = 1;
      bytes s = 2;
      int64 i = 3;
      float f = 4;
      bool b = 5;
      DataType type = 6;
      TensorShapeProto shape = 7;
      TensorProto tensor = 8;
    }
  }
  message TensorShapeProto { message Dim { int64 size = 1; } repeated Dim dim = 2; }
  message TensorProto {
    DataType dtype = 1;
    TensorShapeProto tensor_shape = 2;
    bytes tensor_content = 4;
    repeated float float_val = 5;
    repeated int32 int_val = 7;
    repeated bool bool_val = 11;
  }`,
).root;
const savedModelType = schema.lookupType('SavedModel');

/** The tag and the signature under which the graph is found. */
export const servingTag = 'serve';
const servingSignature = 'serving_default';

/** Versions of GraphDef are TensorFlow's own; this one is of 2.9 and read by all later ones. */
const producer = 1087;

/** The content of `saved_model.pb`, without values of variables. */
export function encodeSavedModel({ nodes, inputs, outputs }: GraphDef): Uint8Array {
  const message = savedModelType.fromObject({
    savedModelSchemaVersion: 1,
    metaGraphs: [
      {
        metaInfoDef: { tags: [servingTag] },
        graphDef: { node: nodes, versions: { producer } },
        signatureDef: {
          [servingSignature]: {
            inputs: infosOf(inputs),
            outputs: infosOf(outputs.flatMap(({ pieces }) => pieces)),
            methodName: 'tensorflow/serving/predict',
          },
        },
      },
    ],
  });
  return savedModelType.encode(message).finish();
}

/** By their names in the graph: a caller of the addon names tensors, not ports. */
function infosOf(tensors: readonly TensorRef[]): Record<string, object> {
  return Object.fromEntries(
    tensors.map(({ name, shape, dtype }) => {
      return [name, { name, dtype: typeName(dtype), tensorShape: tensorShape(shape) }];
    }),
  );
}
