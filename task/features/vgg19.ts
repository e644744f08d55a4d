// VGG19 without its dense layers (Simonyan and Zisserman 2014, configuration E), as SRGAN's content
// loss uses it: convolutions of 3x3, each with a ReLU, and a maximum of 2x2 before each new block.

import {
  add,
  conv2d,
  div,
  mul,
  sub,
  tensor1d,
  type Tensor1D,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import { vgg19Weights } from '../../shared/weights/vgg19-weights.js';
import { featureLayers } from '../../shared/spec/feature-layers.js';
import { maxPoolHalving } from '../ops/pooling.js';
import type { FeatureNetwork, FeatureStage } from './feature-network.js';

/** Of ImageNet's colours in [0, 1]; the mean comes with the weights. */
const deviation = [0.229, 0.224, 0.225];

/** The paper rescales features by this (Ledig et al. 2017, section 3.2). */
const featureScale = 1 / 12.75;

/** The frozen network; layers are named conv<block>_<number>. */
export const vgg19Network: FeatureNetwork = {
  name: 'vgg19',
  stages: featureLayers.vgg19.map(stage),
  constants: [{ name: 'mean', shape: [3] }],
  normalize: (pictures, weights) => {
    const unit = add(mul(pictures, 0.5), 0.5);
    return div(sub(unit, weights['mean'] as Tensor1D), tensor1d(deviation));
  },
  scale: () => featureScale,
};

function stage(layer: string): FeatureStage {
  const opensBlock = layer.endsWith('_1') && layer !== 'conv1_1';
  return {
    layer,
    weights: vgg19Weights(layer),
    run: (given, w) => {
      const x = opensBlock ? maxPoolHalving(given) : given;
      const sum = conv2d(x, w[`${layer}/filter`] as Tensor4D, 1, 'same');
      return add<Tensor4D>(sum, w[`${layer}/bias`]);
    },
  };
}
