// The networks that evaluation measures with: the face descriptor, and LPIPS where VGG-16's weights
// are given.

import type { Tensor4D } from '@tensorflow/tfjs-core';
import { readVgg16Weights } from '../../shared/weights/vgg16-weights.js';
import { takeTensors } from '../../shared/weights/frozen-weights.js';
import type { StoreOptions } from '../../shared/store/open-store.js';
import { learnedWeights, perceptualDistance, vgg16Weights } from '../../task/features/lpips.js';
import type { CompiledGraph } from '../../worker/engine/engine.js';
import { createOnnxEngine } from '../../worker/engine/onnx-engine.js';
import { cosineDistance, createFaceDescriber } from '../face-descriptor.js';
import type { Picture } from '../pictures/picture.js';
import type { MeasureDistances, MeasuringNetworks } from './judge.js';
import { lpipsWeights } from './lpips-weights.js';

export interface MeasuringOptions {
  /** Processor threads; the figures do not depend on them. */
  readonly threads: number;
  /** VGG-16's weights; without them LPIPS is not measured. */
  readonly lpips?: { readonly url: string; readonly storeOptions: StoreOptions } | undefined;
}

/** Loads the networks; an OperatorError for weights that can't be read. */
export async function openMeasuringNetworks({
  threads,
  lpips,
}: MeasuringOptions): Promise<MeasuringNetworks> {
  const identity = await openIdentity(threads);
  if (lpips === undefined) return { identity };
  const { url, storeOptions } = lpips;
  const weights = await readVgg16Weights(url, '--lpips', vgg16Weights, storeOptions);
  return { identity, lpips: openLpips(takeTensors(weights, vgg16Weights), threads) };
}

async function openIdentity(threads: number): Promise<MeasureDistances> {
  const faces = await createFaceDescriber(threads);
  return async (pictures, original) => {
    const wanted = await faces.describe(original);
    const distances: number[] = [];
    for (const picture of pictures)
      distances.push(cosineDistance(await faces.describe(picture), wanted));
    return distances;
  };
}

/** LPIPS with VGG-16's weights, by the names of `vgg16Weights`; a graph for one size at a time. */
export function openLpips(
  vgg16: Readonly<Record<string, Float32Array>>,
  threads: number,
): MeasureDistances {
  const engine = createOnnxEngine({ threads });
  const values: Record<string, Float32Array> = { ...vgg16 };
  let taken = 0;
  for (const { name, shape } of learnedWeights)
    values[name] = lpipsWeights().subarray(taken, (taken += shape[0]));
  let compiled: { readonly size: string; readonly graph: CompiledGraph } | undefined;
  const graphFor = async ({ width, height }: Picture): Promise<CompiledGraph> => {
    const size = `${width}x${height}`;
    if (compiled?.size === size) return compiled.graph;
    await compiled?.graph.close();
    compiled = undefined;
    const pictures = ['picture', 'original'].map((name) => ({
      ...{ name, shape: [1, height, width, 3] },
    }));
    const inputs = [...pictures, ...vgg16Weights, ...learnedWeights];
    const graph = await engine.compile(inputs, ({ picture, original, ...weights }) => ({
      distance: perceptualDistance(picture as Tensor4D, original as Tensor4D, weights),
    }));
    compiled = { size, graph };
    return graph;
  };
  return async (pictures, original) => {
    const graph = await graphFor(original);
    const distances: number[] = [];
    for (const picture of pictures) {
      const distance = new Float32Array(1);
      const given = { picture: signed(picture), original: signed(original) };
      await graph.run({ ...values, ...given }, { distance });
      distances.push(distance[0]);
    }
    return distances;
  };
}

/** Bytes as values in [-1, 1]. */
function signed({ data }: Picture): Float32Array {
  return Float32Array.from(data, (value) => value / 127.5 - 1);
}
