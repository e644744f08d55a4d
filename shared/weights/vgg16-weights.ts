// The weights of VGG-16's convolutions, from a safetensors file of the operator's, where they are
// named as in torchvision ("features.0.weight") and timm.

import { decodeSafetensors, SafetensorsFault } from '../checkpoint/safetensors.js';
import type { TensorSpec } from '../layout.js';
import { messageOf, OperatorError } from '../problems.js';
import { sha256Of } from '../sha256.js';
import { openStore, type StoreOptions } from '../store/open-store.js';
import { parsePlaceOrPath } from '../store/places.js';
import { ObjectNotFound } from '../store/store.js';
import type { FrozenWeights } from './frozen-weights.js';

/** The convolutions' places among torchvision's layers, which count activations and maxima too. */
const places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28] as const;

/** All of VGG-16 has 553 MB, of which its dense layers are most. */
const largestFile = 2 ** 30;

/**
 * Reads the tensors `wanted`, a filter and a bias for each convolution in turn. An OperatorError
 * with `key` for a file that is not there, or isn't VGG-16's.
 */
export async function readVgg16Weights(
  url: string,
  key: string,
  wanted: readonly TensorSpec[],
  options: StoreOptions,
): Promise<FrozenWeights> {
  const bytes = await readFile(url, key, options);
  try {
    const { tensors: given } = decodeSafetensors(bytes);
    const tensors = new Map<string, Float32Array>();
    for (const [i, { name, shape }] of wanted.entries()) {
      const stored = `features.${places[i >> 1]}.${i % 2 === 0 ? 'weight' : 'bias'}`;
      // Filters lie there as [outputs, inputs, height, width].
      const expected = shape.length === 4 ? [shape[3], shape[2], shape[0], shape[1]] : shape;
      const found = given.get(stored);
      if (found === undefined) throw new SafetensorsFault(`it has no tensor ${stored}`);
      if (found.shape.join() !== expected.join())
        throw new SafetensorsFault(`${stored} is [${found.shape.join(', ')}]`);
      tensors.set(name, shape.length === 4 ? outputsLast(found.data, expected) : found.data);
    }
    return { sha256: sha256Of(bytes), tensors };
  } catch (error) {
    if (error instanceof SafetensorsFault) throw refusal(key, url, error.message);
    throw error;
  }
}

async function readFile(url: string, key: string, options: StoreOptions): Promise<Buffer> {
  const [, folder, file] = /^(.*\/)?([^/]+)$/.exec(url) ?? [];
  if (file === undefined) throw refusal(key, url, 'it names no file');
  const store = openStore(parsePlaceOrPath(folder ?? '.', key).url, options);
  try {
    const { bytes } = (await store.head(file)) ?? {};
    if (bytes === undefined) throw refusal(key, url, 'it is not there');
    if (bytes > largestFile) throw refusal(key, url, `it has ${bytes} bytes: too many`);
    return await store.get(file, { start: 0, end: bytes });
  } catch (error) {
    if (error instanceof ObjectNotFound) throw refusal(key, url, messageOf(error));
    throw error;
  } finally {
    await store.close();
  }
}

/** [outputs, inputs, height, width] to [height, width, inputs, outputs]. */
function outputsLast(data: Float32Array, shape: readonly number[]): Float32Array {
  const [outputs, inputs, height, width] = shape;
  const turned = new Float32Array(data.length);
  let from = 0;
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++)
      for (let place = 0; place < height * width; place++)
        turned[(place * inputs + i) * outputs + o] = data[from++];
  return turned;
}

function refusal(key: string, given: string, hint: string): OperatorError {
  const allowed = 'a safetensors file of VGG-16, float32, with the names of torchvision';
  return new OperatorError('the weights of VGG-16 can not be read', [
    { key, given, allowed, hint },
  ]);
}
