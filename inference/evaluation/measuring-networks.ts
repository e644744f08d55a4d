// The networks that evaluation measures with: the face descriptor, and LPIPS where its weights are
// given.

import { cosineDistance, createFaceDescriber } from '../face-descriptor.js';
import type { MeasuringNetworks } from './judge.js';

export interface MeasuringOptions {
  /** Processor threads; the figures do not depend on them. */
  readonly threads: number;
  /** Where VGG-16's weights lie; without them LPIPS is not measured. */
  readonly lpips?: string | undefined;
}

/** Loads the networks; an OperatorError for weights that can't be read. */
export async function openMeasuringNetworks({
  threads,
}: MeasuringOptions): Promise<MeasuringNetworks> {
  const faces = await createFaceDescriber(threads);
  return {
    identity: async (pictures, original) => {
      const wanted = await faces.describe(original);
      const distances: number[] = [];
      for (const picture of pictures)
        distances.push(cosineDistance(await faces.describe(picture), wanted));
      return distances;
    },
  };
}
