// LPIPS, version 0.1 on VGG-16: how different two pictures look to a network that was calibrated on
// people's judgements (Zhang et al. 2018). Features of both, of unit length at each place, are
// subtracted; squares are weighted channel by channel, averaged over the picture, and added up.

import {
  add,
  conv2d,
  div,
  mean,
  mul,
  relu,
  sqrt,
  square,
  sub,
  sum,
  tensor1d,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../../shared/layout.js';
import { maxPoolHalving } from '../ops/pooling.js';
import type { NamedTensors } from '../task.js';

/** Channels, and convolutions of 3x3, of each block; a maximum of 2x2 lies between two blocks. */
const blocks = [
  { channels: 64, count: 2 },
  { channels: 128, count: 2 },
  { channels: 256, count: 3 },
  { channels: 512, count: 3 },
  { channels: 512, count: 3 },
] as const;

const convolutions = blocks.flatMap(({ channels, count }, block) =>
  Array.from({ length: count }, (_, i) => ({
    name: `conv${block + 1}_${i + 1}`,
    inputs: i > 0 ? channels : (blocks[block - 1]?.channels ?? 3),
    outputs: channels,
  })),
);

/** The weights of VGG-16 up to its last feature: filters [3, 3, inputs, outputs] and biases. */
export const vgg16Weights: readonly TensorSpec[] = convolutions.flatMap(
  ({ name, inputs, outputs }) => [
    { name: `${name}/filter`, shape: [3, 3, inputs, outputs] },
    { name: `${name}/bias`, shape: [outputs] },
  ],
);

/** What was learned: a weight for each channel of the last convolution of each block. */
export const learnedWeights: readonly TensorSpec[] = blocks.map(({ channels }, block) => ({
  name: `learned${block + 1}`,
  shape: [channels],
}));

/** Of pictures in [-1, 1], as LPIPS normalises them. */
const shift = [-0.03, -0.088, -0.188];
const deviation = [0.458, 0.448, 0.45];

/** Keeps features that are all 0 from being divided by 0. */
const leastLength = 1e-10;

/** Distances [n] of pictures [n, h, w, 3] in [-1, 1] from others; both sides at least 16 pixels. */
export function perceptualDistance(a: Tensor4D, b: Tensor4D, weights: NamedTensors): Tensor1D {
  const [ours, theirs] = [a, b].map((pictures) => featuresOf(pictures, weights));
  const distances = learnedWeights.map(({ name }, i) => {
    const difference = square(sub(unitLength(ours[i]), unitLength(theirs[i])));
    return mean(sum(mul(difference, weights[name]), 3), [1, 2]);
  });
  return distances.reduce((total, distance) => add(total, distance)) as Tensor1D;
}

/** What each block gives after its last activation. */
function featuresOf(pictures: Tensor4D, weights: NamedTensors): Tensor4D[] {
  let x = div<Tensor4D>(sub(pictures, tensor1d(shift)), tensor1d(deviation));
  return blocks.map(({ count }, block) => {
    if (block > 0) x = maxPoolHalving(x);
    for (let i = 1; i <= count; i++) {
      const name = `conv${block + 1}_${i}`;
      const filter = weights[`${name}/filter`] as Tensor4D;
      x = relu(add<Tensor4D>(conv2d(x, filter, 1, 'same'), weights[`${name}/bias`]));
    }
    return x;
  });
}

function unitLength(features: Tensor4D): Tensor {
  const length = sqrt(sum(square(features), 3, true));
  return div(features, add(length, leastLength));
}
