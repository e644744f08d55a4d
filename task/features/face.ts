// The network that describes faces: dlib's ResNet, as face-api has it (@vladmandic/face-api,
// src/faceRecognitionNet), but with the scaling of each convolution folded into its weights.

import {
  add,
  concat,
  conv2d,
  matMul,
  mean,
  mul,
  pad,
  relu,
  sub,
  tensor1d,
  zeros,
  type Tensor2D,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../../shared/layout.js';
import { avgPoolHalving, maxPoolOverlapping } from '../ops/pooling.js';
import type { NamedTensors } from '../task.js';
import { extractFeatures, type FeatureNetwork, type FeatureStage } from './feature-network.js';
import { faceScales } from './face-scales.js';

/** Side of the pictures from which descriptors are taken. */
export const describedSide = 150;

/** Numbers of a descriptor. */
export const descriptorLength = 128;

const lastLayer = 'conv256_down_out';

const projection: TensorSpec = { name: 'fc', shape: [256, descriptorLength] };

/** Of the pictures the network was trained on, in 0..255. */
const meanRgb = [122.782, 117.001, 104.298];

/** The frozen network; layers are named as in face-api. */
export const faceNetwork: FeatureNetwork = {
  name: 'face',
  stages: [
    entry('conv32_down', 3, 32),
    residual('conv32_1', 32, maxPoolOverlapping),
    residual('conv32_2', 32),
    residual('conv32_3', 32),
    residualDown('conv64_down', 32, 64),
    ...['conv64_1', 'conv64_2', 'conv64_3'].map((layer) => residual(layer, 64)),
    residualDown('conv128_down', 64, 128),
    ...['conv128_1', 'conv128_2'].map((layer) => residual(layer, 128)),
    residualDown('conv256_down', 128, 256),
    ...['conv256_1', 'conv256_2'].map((layer) => residual(layer, 256)),
    residualDown(lastLayer, 256, 256),
  ],
  constants: [],
  // (255 * (x + 1) / 2 - mean) / 255
  normalize: (pictures) =>
    sub(mul(pictures, 0.5), tensor1d(meanRgb.map((value) => value / 255 - 0.5))),
  scale: ({ layer, activation }) => faceScales[layer][activation],
};

/** All weights of the network, the projection to the descriptor included. */
export const faceWeights: readonly TensorSpec[] = [
  ...faceNetwork.stages.flatMap(({ weights }) => weights),
  projection,
];

/**
 * Descriptors [n, 128] of faces [n, 150, 150, 3] in [-1, 1]. Faces of a person lie nearer to each
 * other than those of two: a Euclidean distance below 0.6 says "the same".
 */
export function describeFaces(faces: Tensor4D, weights: NamedTensors): Tensor2D {
  const place = { layer: lastLayer, activation: 'after' } as const;
  const unscaled = { ...faceNetwork, scale: () => 1 };
  const [features] = extractFeatures(unscaled, faces, weights, [place]);
  return matMul(mean<Tensor2D>(features, [1, 2]), weights[projection.name] as Tensor2D);
}

function convolutionWeights(name: string, side: number, inputs: number, outputs: number) {
  return [
    { name: `${name}/filter`, shape: [side, side, inputs, outputs] },
    { name: `${name}/bias`, shape: [outputs] },
  ];
}

function convolve(x: Tensor4D, name: string, w: NamedTensors, stride: 1 | 2): Tensor4D {
  const filter = w[`${name}/filter`] as Tensor4D;
  const sum = conv2d(x, filter, stride, stride === 1 ? 'same' : 'valid');
  return add<Tensor4D>(sum, w[`${name}/bias`]);
}

function entry(layer: string, inputs: number, outputs: number): FeatureStage {
  return {
    layer,
    weights: convolutionWeights(layer, 7, inputs, outputs),
    run: (x, w) => convolve(x, layer, w, 2),
  };
}

/** Two convolutions added to their input, which `enter` makes of what came before. */
function residual(
  layer: string,
  channels: number,
  enter = (x: Tensor4D): Tensor4D => x,
): FeatureStage {
  const [first, second] = [`${layer}/conv1`, `${layer}/conv2`];
  return {
    layer,
    weights: [first, second].flatMap((name) => convolutionWeights(name, 3, channels, channels)),
    run: (given, w) => {
      const x = enter(given);
      return add(convolve(relu(convolve(x, first, w, 1)), second, w, 1), x);
    },
  };
}

/** The same at half the resolution; the input is averaged, new channels of it are 0. */
function residualDown(layer: string, inputs: number, outputs: number): FeatureStage {
  const [first, second] = [`${layer}/conv1`, `${layer}/conv2`];
  return {
    layer,
    weights: [
      ...convolutionWeights(first, 3, inputs, outputs),
      ...convolutionWeights(second, 3, outputs, outputs),
    ],
    run: (x, w) => {
      const sum = convolve(relu(convolve(x, first, w, 2)), second, w, 1);
      const pooled = avgPoolHalving(x);
      const [count, height, width] = pooled.shape;
      const wide =
        inputs === outputs
          ? pooled
          : concat([pooled, zeros([count, height, width, outputs - inputs])], 3);
      // Of even extents the convolution leaves one row and one column less than the mean.
      const [below, beside] = [height - sum.shape[1], width - sum.shape[2]];
      const all = below + beside === 0 ? sum : padEnd(sum, below, beside);
      return add(all, wide as Tensor4D);
    },
  };
}

function padEnd(x: Tensor4D, below: number, beside: number): Tensor4D {
  const around = [0, below, beside, 0].map((n): [number, number] => [0, n]);
  return pad(x, around);
}
