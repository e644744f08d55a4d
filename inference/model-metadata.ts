// What an exported generator says about itself, as texts by key: enough to run it without the run
// it came from. In an ONNX file they are the metadata_props, written behind a finished model and
// read without parsing the graph.
// Field numbers: onnx/onnx.proto (ModelProto 14, StringStringEntryProto 1 and 2).

import protobuf from 'protobufjs';
import type { Problem } from '../shared/problems.js';

/** How to run an exported generator. */
export interface ModelMetadata {
  /** Output pixels a side for each input pixel. */
  readonly scale: number;
  /** Input pixels around a pixel that its output depends on: the overlap of tiles. */
  readonly radius: number;
}

/** Name and version of the conventions below: ports, layouts and ranges of values. */
const modelFormat = 'lockstep-generator/1';

/** The one input: float32 [n, h, w, 3], RGB in [0, 1]. */
export const modelInput = 'lr';

/** The one output: float32 [n, scale * h, scale * w, 3], RGB, nominally in [-1, 1]. */
export const modelOutput = 'sr';

const limits = { scale: 16, radius: 4096 } as const;

/** The metadata as texts by key. */
export function formatMetadata({ scale, radius }: ModelMetadata): Record<string, string> {
  return {
    'lockstep.format': modelFormat,
    'lockstep.scale': String(scale),
    'lockstep.radius': String(radius),
    'lockstep.input': `${modelInput}: float32 [n, h, w, 3], RGB in 0..1`,
    'lockstep.output': `${modelOutput}: float32 [n, ${scale}h, ${scale}w, 3], RGB in -1..1`,
  };
}

/** Reads the texts back; every problem found when they are not a generator's. */
export function parseMetadata(
  texts: Readonly<Record<string, string>>,
): { readonly metadata: ModelMetadata } | { readonly problems: readonly Problem[] } {
  const format = texts['lockstep.format'];
  if (format !== modelFormat) {
    const hint = 'lockstep export RUN --format onnx writes one';
    return { problems: [{ key: 'lockstep.format', given: format, allowed: modelFormat, hint }] };
  }
  const problems: Problem[] = [];
  const count = (name: keyof typeof limits): number => {
    const key = `lockstep.${name}`;
    const given = texts[key];
    const value = /^\d{1,6}$/.test(given ?? '') ? Number(given) : 0;
    if (value >= 1 && value <= limits[name]) return value;
    problems.push({ key, given, allowed: `a whole number from 1 to ${limits[name]}` });
    return 1;
  };
  const metadata = { scale: count('scale'), radius: count('radius') };
  return problems.length > 0 ? { problems } : { metadata };
}

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
