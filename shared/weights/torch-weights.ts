// Files of weights that an operator names, and the tensors of a PyTorch network in them, whose
// filters are turned into TF.js's order.

import type { NamedTensor } from '../checkpoint/safetensors.js';
import { maskSecrets, OperatorError } from '../problems.js';
import { openStore, type StoreOptions } from '../store/open-store.js';
import { parsePlaceOrPath } from '../store/places.js';

/** A file as an operator gave it, and what it should be. */
export interface WeightFile {
  readonly url: string;
  /** Where it was given. */
  readonly key: string;
  /** Whose weights: "vgg19". */
  readonly network: string;
  /** What may be given. */
  readonly allowed: string;
}

/** All of a VGG, whose dense layers are most of it, has 0.55 GiB. */
const mostBytes = 2 ** 30;

/** The bytes of the file; an OperatorError when it can't be had. */
export async function readWeightFile(file: WeightFile, options: StoreOptions): Promise<Buffer> {
  const [, folder = '.', name] = /^(.+:\/\/|.*\/)?([^/]+)$/.exec(file.url) ?? [];
  if (name === undefined) throw weightsRefusal(file, 'it names no file');
  const root = folder === 'file://' ? '.' : folder;
  const store = openStore(parsePlaceOrPath(root, file.key).url, options);
  try {
    const { bytes } = (await store.head(name)) ?? {};
    if (bytes === undefined) throw weightsRefusal(file, 'it is not there');
    if (bytes > mostBytes)
      throw weightsRefusal(file, `it has ${bytes} bytes, more than ${mostBytes}`);
    return await store.get(name, { start: 0, end: bytes });
  } finally {
    await store.close();
  }
}

/** Says that a file's weights can't be used, and why. */
export function weightsRefusal(
  { url, key, network, allowed }: WeightFile,
  hint: string,
): OperatorError {
  return new OperatorError(`the weights of ${network} can not be read`, [
    { key, given: maskSecrets(url), allowed, hint },
  ]);
}

/**
 * The values of PyTorch's tensor `name` for a shape in TF.js's order: of a filter, [height, width,
 * inputs, outputs]. Throws, naming it, for one that is missing or of another shape.
 */
export function takeTorch(
  tensors: ReadonlyMap<string, NamedTensor>,
  name: string,
  ours: readonly number[],
): Float32Array {
  const theirs = ours.length === 4 ? [ours[3], ours[2], ours[0], ours[1]] : ours;
  const found = tensors.get(name);
  if (found === undefined) throw new Error(`it has no tensor ${name}`);
  if (found.shape.join() !== theirs.join())
    throw new Error(`${name} has the shape [${found.shape.join()}], not [${theirs.join()}]`);
  return ours.length === 4 ? outputsLast(found) : found.data;
}

/** [outputs, inputs, height, width] as [height, width, inputs, outputs]. */
function outputsLast({ shape: [outputs, inputs, height, width], data }: NamedTensor): Float32Array {
  const taps = height * width;
  const filter = new Float32Array(data.length);
  for (let to = 0; to < outputs; to++)
    for (let from = 0; from < inputs; from++)
      for (let tap = 0; tap < taps; tap++)
        filter[(tap * inputs + from) * outputs + to] = data[(to * inputs + from) * taps + tap];
  return filter;
}
