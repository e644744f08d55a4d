// The weights of the face network, as npm's @vladmandic/face-api carries them: a file of values of
// a byte each, and a list of tensors with the scale and the least value of each. Only these two
// files are read; none of the package's code is run.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { parseJson } from '../bounded-json.js';
import { sizeOf } from '../layout.js';
import { readRegularFile } from '../local-files.js';
import { messageOf, OperatorError } from '../problems.js';
import { sha256Of } from '../sha256.js';
import type { FrozenWeights } from './frozen-weights.js';

const packageName = '@vladmandic/face-api';
const listFile = 'face_recognition_model-weights_manifest.json';
const valuesFile = 'face_recognition_model.bin';
const mostListBytes = 1024 * 1024;
const mostValueBytes = 64 * 1024 * 1024;

const extent = z.int().min(1).max(65_536);
const tensorSchema = z.object({
  name: z.string().max(100),
  shape: z.array(extent).min(1).max(4),
  dtype: z.literal('float32'),
  quantization: z
    .object({ dtype: z.literal('uint8'), scale: z.number(), min: z.number() })
    .optional(),
});
const listSchema = z.tuple([
  z.object({ weights: z.array(tensorSchema).max(1000), paths: z.array(z.string()).max(8) }),
]);

type StoredTensor = z.infer<typeof tensorSchema>;

/**
 * Reads the face network's weights: `<stage>/filter`, `<stage>/bias` (a convolution and its scaling
 * as one), `fc`. The sum is of both files, one behind the other. An OperatorError says which file
 * is missing or not as it should be.
 */
export async function readFaceWeights(): Promise<FrozenWeights> {
  const folder = modelFolder();
  const [list, values] = await Promise.all([
    readPart(join(folder, listFile), mostListBytes),
    readPart(join(folder, valuesFile), mostValueBytes),
  ]);
  const sha256 = sha256Of(Buffer.concat([list, values]));
  try {
    const stored = splitTensors(list, values);
    // Only what is asked for is decoded: there are six million values.
    return { sha256, tensors: { get: (name) => foldedTensor(stored, name) } };
  } catch (error) {
    throw refusal(folder, messageOf(error));
  }
}

function modelFolder(): string {
  try {
    const path = createRequire(import.meta.url).resolve(`${packageName}/package.json`);
    return join(dirname(path), 'model');
  } catch (error) {
    throw refusal(packageName, messageOf(error).split('\n', 1)[0] ?? '');
  }
}

function readPart(path: string, most: number): Promise<Buffer> {
  return readRegularFile(path, most).catch((error: unknown) => {
    throw refusal(path, messageOf(error));
  });
}

function refusal(given: string, hint: string): OperatorError {
  const allowed = `the weights of ${packageName}: npm ci brings them`;
  return new OperatorError('the face network can not be read', [
    { key: 'featureNetworks.face', given, allowed, hint },
  ]);
}

/** A tensor as the list has it, and its bytes. */
type Encoded = StoredTensor & { readonly bytes: Buffer };

/** The tensors of a list, with their parts of the values; throws when they do not fit together. */
function splitTensors(list: Buffer, values: Buffer): ReadonlyMap<string, Encoded> {
  const [{ weights }] = listSchema.parse(parseJson(list.toString('utf8')));
  const size = weights.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  if (size !== values.length)
    throw new Error(`its tensors take ${size} bytes, and ${valuesFile} has ${values.length}`);
  let end = 0;
  return new Map(
    weights.map((tensor) => {
      const start = end;
      end += bytesOf(tensor);
      return [tensor.name, { ...tensor, bytes: values.subarray(start, end) }];
    }),
  );
}

function bytesOf({ shape, quantization }: StoredTensor): number {
  return sizeOf(shape) * (quantization === undefined ? 4 : 1);
}

function decode({ shape, quantization, bytes }: Encoded): Float32Array {
  const values = new Float32Array(sizeOf(shape));
  if (quantization === undefined) {
    new Uint8Array(values.buffer).set(bytes);
    return values;
  }
  const { scale, min } = quantization;
  const valueOf = Float32Array.from({ length: 256 }, (_, byte) => byte * scale + min);
  for (let i = 0; i < values.length; i++) values[i] = valueOf[bytes[i]];
  return values;
}

/**
 * The value of one of our names. A stage is scale * (conv(x) + bias) + offset, a channel each; as
 * one convolution its filter takes the scale, and its bias becomes scale * bias + offset. The last
 * extent of a filter is its outputs.
 */
function foldedTensor(
  stored: ReadonlyMap<string, Encoded>,
  name: string,
): Float32Array | undefined {
  const values = (part: string): Float32Array => {
    const found = stored.get(part);
    if (found === undefined) throw new Error(`it has no tensor ${part}`);
    return decode(found);
  };
  if (name === 'fc') return values(name);
  const [, stage, kind] = /^(.+)\/(filter|bias)$/.exec(name) ?? [];
  if (stage === undefined || !stored.has(`${stage}/conv/filters`)) return undefined;
  const scale = values(`${stage}/scale/weights`);
  if (kind === 'bias') {
    const offset = values(`${stage}/scale/biases`);
    return values(`${stage}/conv/bias`).map((value, i) => value * scale[i] + offset[i]);
  }
  const filter = values(`${stage}/conv/filters`);
  for (let at = 0; at < filter.length; at += scale.length)
    for (let i = 0; i < scale.length; i++) filter[at + i] *= scale[i];
  return filter;
}
