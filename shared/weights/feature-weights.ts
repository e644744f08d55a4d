// The frozen networks of a run: their weights as they are read, their sums as the run has pinned
// them. The coordinator reads them when it plans a run, each worker when it prepares.

import type { TensorSpec } from '../layout.js';
import { OperatorError } from '../problems.js';
import { featureNetworkNames, findLayer, type FeatureNetworkName } from '../spec/feature-layers.js';
import type { RunSpec } from '../spec/schema.js';
import type { StoreOptions } from '../store/open-store.js';
import { parseStoreUrl } from '../store/places.js';
import { readFaceWeights } from './face-weights.js';
import { takeTensors, type FrozenWeights } from './frozen-weights.js';
import { readVgg19Weights } from './vgg19-weights.js';

/** Weights by network; only those that a run uses. */
export type FeatureWeights = Readonly<Partial<Record<FeatureNetworkName, FrozenWeights>>>;

/**
 * Reads the weights of every network that a phase of the spec uses. An OperatorError when they
 * can't be read, or are others than the spec has pinned.
 */
export async function readFeatureWeights(
  spec: RunSpec,
  options: StoreOptions,
): Promise<FeatureWeights> {
  const all: Partial<Record<FeatureNetworkName, FrozenWeights>> = {};
  for (const network of featureNetworkNames) {
    const layers = layersOf(spec, network);
    if (layers.length === 0) continue;
    const weights =
      network === 'face'
        ? await readFaceWeights()
        : await readVgg19Weights(spec.featureNetworks?.vgg19?.url ?? '', layers, options);
    requirePinned(network, weights.sha256, spec.featureNetworks?.[network]?.sha256);
    all[network] = weights;
  }
  return all;
}

/**
 * The weights `wanted` by a step, named "<network>/<tensor>", of the networks that the spec's
 * phases use. Errors as in `readFeatureWeights`.
 */
export async function readFrozenInputs(
  spec: RunSpec,
  wanted: readonly TensorSpec[],
  options: StoreOptions,
): Promise<Record<string, Float32Array>> {
  const networks = Object.entries(await readFeatureWeights(spec, options));
  return Object.assign(
    {},
    ...networks.map(([network, weights]) => takeTensors(weights, wanted, `${network}/`)),
  ) as Record<string, Float32Array>;
}

type FeatureNetworks = NonNullable<RunSpec['featureNetworks']>;

/** The spec with the sums of these weights, and their place as any working folder finds it. */
export function pinFeatureWeights(spec: RunSpec, { face, vgg19 }: FeatureWeights): RunSpec {
  if (face === undefined && vgg19 === undefined) return spec;
  return withSums(spec, {
    ...(face === undefined ? {} : { face: { sha256: face.sha256 } }),
    ...(vgg19 === undefined ? {} : { vgg19: { url: '', sha256: vgg19.sha256 } }),
  });
}

/** A spec with the sums that a run of it has pinned, where it gives none of its own. */
export function withPinnedSums(spec: RunSpec, { featureNetworks: run }: RunSpec): RunSpec {
  return run === undefined ? spec : withSums(spec, run);
}

function withSums(spec: RunSpec, sums: FeatureNetworks): RunSpec {
  const given = spec.featureNetworks;
  const face = sums.face === undefined ? given?.face : { ...sums.face, ...given?.face };
  const vgg19 = given?.vgg19 && {
    ...{ ...sums.vgg19, ...given.vgg19 },
    url: parseStoreUrl(given.vgg19.url, 'featureNetworks.vgg19.url').url,
  };
  const featureNetworks = {
    ...(face === undefined ? {} : { face }),
    ...(vgg19 === undefined ? {} : { vgg19 }),
  };
  return { ...spec, featureNetworks };
}

function layersOf({ phases }: RunSpec, name: FeatureNetworkName): string[] {
  const losses = phases.flatMap(({ loss }) => loss.features ?? []);
  const used = losses.filter(({ network }) => network === name);
  return used.flatMap(({ layer }) => findLayer(name, layer) ?? []);
}

function requirePinned(network: FeatureNetworkName, found: string, pinned = found): void {
  if (found === pinned) return;
  throw new OperatorError(`the weights of ${network} are not those of the run`, [
    {
      key: `featureNetworks.${network}.sha256`,
      given: found,
      allowed: `${pinned}, as the run has it`,
      hint:
        network === 'face'
          ? 'all workers need the same version of @vladmandic/face-api: npm ci'
          : 'put the file back that the run began with',
    },
  ]);
}
