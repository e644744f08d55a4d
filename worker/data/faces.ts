// The faces that a run is evaluated on: whole pictures of the test split in both resolutions, made
// with training's own reduction. Nothing is drawn at random, and nothing is flipped.

import type { Pixels } from '../../dataset/decode.js';
import {
  readDatasetIndex,
  type DatasetIndex,
  type DatasetSample,
} from '../../dataset/dataset-index.js';
import { mapInOrder } from '../../dataset/map-in-order.js';
import { splitSamples } from '../../dataset/samples.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { downsampleBicubic, scale } from './bicubic.js';
import { copyRectangle, writeSigned } from './patch.js';
import { createSampleReader, placeOf, SampleError, type SamplePlace } from './sample-reader.js';

/** Longest side of a test face, in pixels. */
const maxFaceSide = 512;

/** Memory that kept faces may take: fewer are kept for the next evaluation, more are read again. */
const maxKeptBytes = 256 * 1024 * 1024;

const readsAhead = 4;

/** A test face: `hr` is [height, width, 3] in [-1, 1]; `lr` a quarter of each side, in [0, 1]. */
export interface TestFace {
  readonly key: string;
  /** Multiples of 4, of the high resolution. */
  readonly width: number;
  readonly height: number;
  readonly hr: Float32Array;
  readonly lr: Float32Array;
}

interface FaceOptions {
  /** The dataset's store; stays the caller's to close. */
  readonly store: ObjectStore;
  readonly index: Pick<DatasetIndex, 'shards'>;
  /** The test samples (`splitSamples`), in the order wanted. */
  readonly samples: readonly DatasetSample[];
  /** As the spec says: pixels of the shorter side that pictures are scaled to; 0: not scaled. */
  readonly resize: number;
  /** Faces at most: the first ones. */
  readonly limit: number;
  /** Longest side of a face; more is cut off around the centre. */
  readonly maxSide?: number;
}

/** Reads the first `limit` test faces one after the other; rejects with `SampleError`. */
export async function* readTestFaces(
  options: FaceOptions,
): AsyncGenerator<TestFace, void, undefined> {
  const { store, index, resize, maxSide = maxFaceSide } = options;
  const reader = createSampleReader({ store, resize, cacheBytes: 0 });
  const places = options.samples.slice(0, options.limit).map((sample) => placeOf(index, sample));
  yield* mapInOrder(places, readsAhead, async (place) =>
    faceOf(place, await reader.read(place), maxSide),
  );
}

/** The test faces of a run: the same ones at each call, in the same order. */
export type FaceSupply = () => AsyncGenerator<TestFace, void, undefined>;

/** Reads the index and chooses the test faces; they are read by the first call of the supply. */
export async function openFaceSupply(
  store: ObjectStore,
  { dataset, evaluation }: RunSpec,
): Promise<FaceSupply> {
  const { index } = await readDatasetIndex(store, dataset.indexSha256);
  const { test: samples } = splitSamples(index, dataset.testFraction, dataset.splitBy);
  const options = { store, index, samples, resize: dataset.resize, limit: evaluation.limit };
  let kept: readonly TestFace[] | undefined;
  return async function* () {
    if (kept !== undefined) return yield* kept;
    let bytes = 0;
    let read: TestFace[] | undefined = [];
    for await (const face of readTestFaces(options)) {
      bytes += face.hr.byteLength + face.lr.byteLength;
      if (bytes > maxKeptBytes) read = undefined;
      read?.push(face);
      yield face;
    }
    kept = read;
  };
}

function faceOf(place: SamplePlace, picture: Pixels, maxSide: number): TestFace {
  const face = cutFace(place.key, picture, maxSide);
  if (face === undefined) throw new SampleError(place, `smaller than ${scale} pixels`, false);
  return face;
}

/**
 * A picture as a face to judge by: cut around its centre to sides that are multiples of 4, at most
 * `maxSide`, and reduced. Undefined for one below 4 pixels.
 */
export function cutFace(key: string, picture: Pixels, maxSide: number): TestFace | undefined {
  const width = faceSide(picture.width, maxSide);
  const height = faceSide(picture.height, maxSide);
  if (width === 0 || height === 0) return undefined;
  const x = Math.floor((picture.width - width) / 2);
  const y = Math.floor((picture.height - height) / 2);
  const pixels = new Uint8Array(width * height * 3);
  copyRectangle(picture, x, y, { width, height }, false, pixels);
  const hr = new Float32Array(pixels.length);
  const lr = new Float32Array(pixels.length / (scale * scale));
  writeSigned(pixels, hr, 0);
  downsampleBicubic(pixels, width, height, lr);
  return { key, width, height, hr, lr };
}

function faceSide(side: number, maxSide: number): number {
  return Math.floor(Math.min(side, maxSide) / scale) * scale;
}
