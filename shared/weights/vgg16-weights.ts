// The weights of VGG-16's convolutions, from a safetensors file of the operator's, where they are
// named as in torchvision ("features.0.weight") and timm.

import { decodeSafetensors } from '../checkpoint/safetensors.js';
import type { TensorSpec } from '../layout.js';
import { messageOf } from '../problems.js';
import { sha256Of } from '../sha256.js';
import type { StoreOptions } from '../store/open-store.js';
import type { FrozenWeights } from './frozen-weights.js';
import { readWeightFile, takeTorch, weightsRefusal } from './torch-weights.js';

/** The convolutions' places among torchvision's layers, which count activations and maxima too. */
const places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28] as const;

const expected = {
  network: 'VGG-16',
  allowed: 'a safetensors file of VGG-16, float32, with the names of torchvision',
};

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
  const given = { ...expected, url, key };
  const bytes = await readWeightFile(given, options);
  try {
    const { tensors } = decodeSafetensors(bytes);
    const taken = wanted.map(({ name, shape }, i) => {
      const stored = `features.${places[i >> 1]}.${i % 2 === 0 ? 'weight' : 'bias'}`;
      return [name, takeTorch(tensors, stored, shape)] as const;
    });
    return { sha256: sha256Of(bytes), tensors: new Map(taken) };
  } catch (error) {
    throw weightsRefusal(given, messageOf(error));
  }
}
