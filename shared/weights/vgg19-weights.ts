// The weights of VGG19's convolutions, from a file that the operator names: what they are called
// and shaped here, whatever the file calls them.

import type { TensorSpec } from '../layout.js';
import { OperatorError } from '../problems.js';
import type { FrozenWeights } from './frozen-weights.js';

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

/** Refuses any file: its formats come with a later version. */
export function readVgg19Weights(url: string): Promise<FrozenWeights> {
  throw new OperatorError('the weights of vgg19 can not be read', [
    { key: 'featureNetworks.vgg19.url', given: url, allowed: 'no url: use the network face' },
  ]);
}
