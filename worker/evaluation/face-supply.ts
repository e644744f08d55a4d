// The test faces of a run, for one evaluation after the other: few enough are kept in memory,
// more are read again each time. Knows the dataset, nothing of networks.

import { readDatasetIndex } from '../../dataset/read-index.js';
import { splitSamples } from '../../dataset/split.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { readTestFaces, type FaceOptions, type TestFace } from '../data/faces.js';

/** Memory that kept faces may take. */
export const mostKeptBytes = 256 * 1024 * 1024;

export interface FaceSupply {
  /** The same faces each time, in the same order. */
  faces(): AsyncGenerator<TestFace, void, undefined>;
}

/** Reads the index and chooses the test faces; they are read by the first `faces()`. */
export async function openFaceSupply(
  store: ObjectStore,
  { dataset, evaluation }: RunSpec,
  keptBytes = mostKeptBytes,
): Promise<FaceSupply> {
  const { index } = await readDatasetIndex(store, dataset.indexSha256);
  const { test: samples } = splitSamples(index, dataset.testFraction);
  const { resize } = dataset;
  return supplyOf({ store, index, samples, resize, limit: evaluation.limit }, keptBytes);
}

function supplyOf(options: FaceOptions, keptBytes: number): FaceSupply {
  let kept: readonly TestFace[] | undefined;
  return {
    async *faces() {
      if (kept !== undefined) return yield* kept;
      let bytes = 0;
      let read: TestFace[] | undefined = [];
      for await (const face of readTestFaces(options)) {
        bytes += face.hr.byteLength + face.lr.byteLength;
        if (bytes > keptBytes) read = undefined;
        read?.push(face);
        yield face;
      }
      kept = read;
    },
  };
}
