// The feature losses of a phase: how far generated pictures are from the originals as frozen
// networks see them. The originals' features and all weights are constants: neither costs a
// gradient.

import {
  abs,
  mean,
  squaredDifference,
  sub,
  type Scalar,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../../shared/layout.js';
import {
  featureNetworkNames,
  findLayer,
  type FeatureNetworkName,
} from '../../shared/spec/feature-layers.js';
import type { PhaseSpec } from '../../shared/spec/schema.js';
import type { NamedTensors } from '../task.js';
import { faceNetwork } from './face.js';
import { extractFeatures, stagesFor, type FeatureNetwork } from './feature-network.js';
import { vgg19Network } from './vgg19.js';

type FeatureLossSpec = NonNullable<PhaseSpec['loss']['features']>[number];

/** One feature loss: a mean over the micro-shard, without its weight. */
export interface FeatureDistance {
  readonly metric: string;
  readonly weight: number;
  readonly value: Scalar;
}

export interface FeatureLosses {
  /** Names of the distances, in their order. */
  readonly metrics: readonly string[];
  /** The frozen weights that are inputs of the step, named "<network>/<tensor>". */
  readonly weights: readonly TensorSpec[];
  /**
   * Extracts the features of originals [n, h, w, 3] in [-1, 1]; the function that is given back
   * compares generated pictures with them, and may be differentiated.
   */
  against(originals: Tensor4D, inputs: NamedTensors): (generated: Tensor4D) => FeatureDistance[];
}

const networks: Readonly<Record<FeatureNetworkName, FeatureNetwork>> = {
  face: faceNetwork,
  vgg19: vgg19Network,
};

/** The losses of a phase, by network. */
export function createFeatureLosses(specs: readonly FeatureLossSpec[] = []): FeatureLosses {
  const used = featureNetworkNames
    .map((name) => ({
      network: networks[name],
      losses: specs
        .filter(({ network }) => network === name)
        .map((spec) => ({ ...spec, place: { ...spec, layer: layerOf(spec) } })),
    }))
    .filter(({ losses }) => losses.length > 0);
  const weightsOf = ({ network, losses }: (typeof used)[number]): TensorSpec[] => {
    const stages = stagesFor(
      network,
      losses.map(({ place }) => place),
    );
    return [...network.constants, ...stages.flatMap(({ weights }) => weights)];
  };
  return {
    metrics: used.flatMap(({ losses }) => losses.map(metricOf)),
    weights: used.flatMap((one) =>
      weightsOf(one).map(({ name, shape }) => ({ name: `${one.network.name}/${name}`, shape })),
    ),
    against: (originals, inputs) => {
      const compared = used.map((one) => {
        const names = weightsOf(one).map(({ name }) => name);
        const weights = Object.fromEntries(
          names.map((name) => [name, inputs[`${one.network.name}/${name}`]]),
        );
        const places = one.losses.map(({ place }) => place);
        const extract = (x: Tensor4D) => extractFeatures(one.network, x, weights, places);
        return { ...one, extract, wanted: extract(originals) };
      });
      return (generated) =>
        compared.flatMap(({ losses, extract, wanted }) => {
          const found = extract(generated);
          return losses.map((loss, i) => ({
            metric: metricOf(loss),
            weight: loss.weight,
            value: distance(loss.norm, found[i], wanted[i]),
          }));
        });
    },
  };
}

function layerOf({ network, layer }: FeatureLossSpec): string {
  const found = findLayer(network, layer);
  if (found === undefined) throw new Error(`the network ${network} has no layer ${layer}`);
  return found;
}

function metricOf({ network, layer }: FeatureLossSpec): string {
  return `loss/features/${network}-${layer}`;
}

function distance(norm: FeatureLossSpec['norm'], a: Tensor4D, b: Tensor4D): Scalar {
  return mean<Scalar>(norm === 'mse' ? squaredDifference(a, b) : abs(sub(a, b)));
}
