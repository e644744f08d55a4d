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
    return { sha256, tensors: foldScalings(decodeTensors(list, values)) };
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

/** The tensors of a list, from the bytes of all of them; throws when they do not fit together. */
function decodeTensors(list: Buffer, values: Buffer): Map<string, Float32Array> {
  const [{ weights }] = listSchema.parse(parseJson(list.toString('utf8')));
  const bytes = weights.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  if (bytes !== values.length)
    throw new Error(`its tensors take ${bytes} bytes, and ${valuesFile} has ${values.length}`);
  const tensors = new Map<string, Float32Array>();
  let at = 0;
  for (const tensor of weights) {
    const end = at + bytesOf(tensor);
    tensors.set(tensor.name, decodeTensor(tensor, values.subarray(at, end)));
    at = end;
  }
  return tensors;
}

function bytesOf({ shape, quantization }: StoredTensor): number {
  return sizeOf(shape) * (quantization === undefined ? 4 : 1);
}

function decodeTensor({ shape, quantization }: StoredTensor, bytes: Buffer): Float32Array {
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
 * scale * (conv(x) + bias) + offset, a channel each, as one convolution: the filter takes the
 * scale, and the bias becomes scale * bias + offset. The last extent of a filter is its outputs.
 */
function foldScalings(given: ReadonlyMap<string, Float32Array>): Map<string, Float32Array> {
  const folded = new Map<string, Float32Array>();
  const of = (name: string): Float32Array => {
    const values = given.get(name);
    if (values === undefined) throw new Error(`it has no tensor ${name}`);
    return values;
  };
  for (const [name, values] of given) {
    const stage = /^(.+)\/conv\/filters$/.exec(name)?.[1];
    if (name === 'fc') folded.set(name, values);
    if (stage === undefined) continue;
    const [scale, offset] = [of(`${stage}/scale/weights`), of(`${stage}/scale/biases`)];
    const bias = of(`${stage}/conv/bias`);
    const filter = new Float32Array(values.length);
    for (let at = 0; at < values.length; at += scale.length)
      for (let i = 0; i < scale.length; i++) filter[at + i] = values[at + i] * scale[i];
    folded.set(`${stage}/filter`, filter);
    folded.set(
      `${stage}/bias`,
      bias.map((value, i) => value * scale[i] + offset[i]),
    );
  }
  return folded;
}
