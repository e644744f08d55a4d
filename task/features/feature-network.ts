// A frozen feature network: stages one behind the other, each with weights that never change. What
// a stage gives is compared, before or after its activation, which is always a ReLU. All stages are
// convolutional: pictures may have any size of which the deepest stage in use leaves a pixel.

import { mul, relu, type Tensor4D } from '@tensorflow/tfjs-core';
import '../ops/gradients.js';
import type { TensorSpec } from '../../shared/layout.js';
import type { NamedTensors } from '../task.js';

/** One stage, up to its activation. */
export interface FeatureStage {
  /** The layer's name, as specs have it. */
  readonly layer: string;
  /** Its weights, by their names within the network. */
  readonly weights: readonly TensorSpec[];
  /** From what the stage before gave after its activation. */
  run(x: Tensor4D, weights: NamedTensors): Tensor4D;
}

/** What is taken of a network. */
export interface FeaturePlace {
  readonly layer: string;
  readonly activation: 'before' | 'after';
}

export interface FeatureNetwork {
  readonly name: string;
  readonly stages: readonly FeatureStage[];
  /** What `normalize` needs of the weights. */
  readonly constants: readonly TensorSpec[];
  /** Pictures [n, h, w, 3] in [-1, 1] as the first stage takes them. */
  normalize(pictures: Tensor4D, weights: NamedTensors): Tensor4D;
  /** What features are multiplied by, so that their distance is of the size of the pixels'. */
  scale(place: FeaturePlace): number;
}

/** The stages that are needed for the places: all up to the deepest; throws for an unknown one. */
export function stagesFor(
  { name, stages }: FeatureNetwork,
  places: readonly FeaturePlace[],
): readonly FeatureStage[] {
  const depths = places.map(({ layer }) => {
    const depth = stages.findIndex((stage) => stage.layer === layer);
    if (depth < 0) throw new Error(`the network ${name} has no layer ${layer}`);
    return depth + 1;
  });
  return stages.slice(0, Math.max(0, ...depths));
}

/**
 * The scaled features of pictures [n, h, w, 3] in [-1, 1] at each of the places, in their order:
 * [n, h', w', channels]. `weights` by their names within the network.
 */
export function extractFeatures(
  network: FeatureNetwork,
  pictures: Tensor4D,
  weights: NamedTensors,
  places: readonly FeaturePlace[],
): Tensor4D[] {
  const found: Tensor4D[] = [];
  let x = network.normalize(pictures, weights);
  for (const stage of stagesFor(network, places)) {
    const before = stage.run(x, weights);
    x = relu(before);
    places.forEach((place, i) => {
      if (place.layer !== stage.layer) return;
      const features = place.activation === 'before' ? before : x;
      found[i] = mul(features, network.scale(place));
    });
  }
  return found;
}
