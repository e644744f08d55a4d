// The metadata_props of an ONNX model file: written behind a finished model, read without parsing
// the graph. Field numbers: onnx/onnx.proto (ModelProto 14, StringStringEntryProto 1 and 2).

import protobuf from 'protobufjs';

const metadataField = 14;
const keyField = 1;
const valueField = 2;
const lengthDelimited = 2;
const maxEntries = 1000;

/** The model with texts added; fields of a protobuf message may come in any order. */
export function appendMetadata(
  model: Uint8Array,
  texts: Readonly<Record<string, string>>,
): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const [key, value] of Object.entries(texts)) {
    writer.uint32((metadataField << 3) | lengthDelimited).fork();
    writer.uint32((keyField << 3) | lengthDelimited).string(key);
    writer.uint32((valueField << 3) | lengthDelimited).string(value);
    writer.ldelim();
  }
  return Buffer.concat([model, writer.finish()]);
}

/** The texts of a model by key; undefined when the bytes are no protobuf message. */
export function readMetadata(model: Uint8Array): Record<string, string> | undefined {
  const texts: Record<string, string> = {};
  try {
    const reader = protobuf.Reader.create(model);
    for (let entries = 0; reader.pos < reader.len;) {
      const tag = reader.uint32();
      if (tag !== ((metadataField << 3) | lengthDelimited)) {
        reader.skipType(tag & 7);
        continue;
      }
      if (++entries > maxEntries) return undefined;
      const [key, value] = readEntry(reader.bytes());
      texts[key] = value;
    }
  } catch (error) {
    // What protobufjs throws for bytes that end too early or have an unknown wire type.
    if (error instanceof Error) return undefined;
    throw error;
  }
  return texts;
}

function readEntry(bytes: Uint8Array): [string, string] {
  const reader = protobuf.Reader.create(bytes);
  const entry: [string, string] = ['', ''];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === ((keyField << 3) | lengthDelimited)) entry[0] = reader.string();
    else if (tag === ((valueField << 3) | lengthDelimited)) entry[1] = reader.string();
    else reader.skipType(tag & 7);
  }
  return entry;
}
