// The weights of VGG19's convolutions, from a file that the operator names: what they are called
// and shaped here, whatever the file calls them.

import { decodeSafetensors } from '../checkpoint/safetensors.js';
import type { TensorSpec } from '../layout.js';
import { messageOf } from '../problems.js';
import { sha256Of } from '../sha256.js';
import { featureLayers } from '../spec/feature-layers.js';
import type { StoreOptions } from '../store/open-store.js';
import type { FrozenWeights } from './frozen-weights.js';
import { filterForColours, meanOfKeras, openKerasFile } from './keras-vgg19.js';
import { readWeightFile, takeTorch, weightsRefusal } from './torch-weights.js';

/** Channels of the convolutions of each block. */
const blockChannels = [64, 128, 256, 512, 512];

/** Filter and bias of a convolution, "conv2_1" and so on. */
export function vgg19Weights(layer: string): TensorSpec[] {
  const [block, number] = layer.slice('conv'.length).split('_').map(Number);
  const outputs = blockChannels[block - 1];
  const inputs = number > 1 ? outputs : block === 1 ? 3 : blockChannels[block - 2];
  return [
    { name: `${layer}/filter`, shape: [3, 3, inputs, outputs] },
    { name: `${layer}/bias`, shape: [outputs] },
  ];
}

/** Where torchvision and timm have the convolutions: features.0.weight, features.2.weight, ... */
const torchPlaces = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34];

/** What PyTorch's weights want taken from colours in [0, 1]. */
const torchMean = [0.485, 0.456, 0.406];

const expected = {
  key: 'featureNetworks.vgg19.url',
  network: 'vgg19',
  allowed: "VGG19's weights: NAME.safetensors with torchvision's names, or Keras's NAME.h5",
};

/**
 * Reads the weights of VGG19's convolutions up to the deepest of `layers` from the file at `url`,
 * safetensors or Keras's HDF5: `mean` of the colours, and filter and bias of each. An OperatorError
 * names the tensor that is missing or of another shape, or says why the file can't be read.
 */
export async function readVgg19Weights(
  url: string,
  layers: readonly string[],
  options: StoreOptions,
): Promise<FrozenWeights & { readonly tensors: ReadonlyMap<string, Float32Array> }> {
  const given = { ...expected, url };
  const file = await readWeightFile(given, options);
  const depth = Math.max(...layers.map((layer) => featureLayers.vgg19.indexOf(layer))) + 1;
  const needed = featureLayers.vgg19.slice(0, depth);
  try {
    const isKeras = kerasEnding.test(url);
    const tensors = isKeras ? await takeFromKeras(file, needed) : takeFromTorch(file, needed);
    return { sha256: sha256Of(file), tensors };
  } catch (error) {
    throw weightsRefusal(given, messageOf(error));
  }
}

/** Endings of HDF5 files. */
const kerasEnding = /\.(h5|hdf5)$/i;

function takeFromTorch(file: Buffer, layers: readonly string[]): Map<string, Float32Array> {
  const { tensors } = decodeSafetensors(file);
  if (tensors.has('features.1.weight'))
    throw new Error('these are weights of VGG19 with batch normalization: take those without');
  const taken = layers.flatMap((layer, i) => {
    const [filter, bias] = vgg19Weights(layer);
    const at = `features.${torchPlaces[i]}`;
    return [
      [filter.name, takeTorch(tensors, `${at}.weight`, filter.shape)],
      [bias.name, takeTorch(tensors, `${at}.bias`, bias.shape)],
    ] as const;
  });
  return new Map([['mean', Float32Array.from(torchMean)], ...taken]);
}

async function takeFromKeras(
  bytes: Buffer,
  layers: readonly string[],
): Promise<Map<string, Float32Array>> {
  const file = await openKerasFile(bytes);
  try {
    const taken = layers.flatMap((layer) => {
      const [filter, bias] = vgg19Weights(layer);
      const name = layer.replace(/^conv(\d)_(\d)$/, 'block$1_conv$2');
      const values = file.tensor(name, filter.shape);
      const ours = layer === 'conv1_1' ? filterForColours(values) : values;
      return [[filter.name, ours] as const, [bias.name, file.tensor(name, bias.shape)] as const];
    });
    return new Map([['mean', meanOfKeras()], ...taken]);
  } finally {
    file.close();
  }
}
