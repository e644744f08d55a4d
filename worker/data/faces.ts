// The faces a run is judged on: whole pictures of the test split in both resolutions, made with
// the same reduction as training's. Nothing is drawn at random, and nothing is flipped.

import type { Pixels } from '../../dataset/decode.js';
import type { DatasetIndex, DatasetSample } from '../../dataset/index-format.js';
import { mapInOrder } from '../../dataset/map-in-order.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { reduceBicubic, scale } from './bicubic.js';
import { copyRectangle, writeSigned } from './patch.js';
import { createPixelCache } from './pixel-cache.js';
import { createSampleReader, placeOf, SampleError, type SamplePlace } from './read-sample.js';

/** Longest side of a test face, in pixels. */
export const maxFaceSide = 512;

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

export interface FaceOptions {
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
  const reader = createSampleReader({ store, resize, cache: createPixelCache(0) });
  const places = options.samples.slice(0, options.limit).map((sample) => placeOf(index, sample));
  yield* mapInOrder(places, readsAhead, async (place) =>
    faceOf(place, await reader.read(place), maxSide),
  );
}

/** All of `readTestFaces` at once: about 16 bytes a pixel of memory. */
export async function loadTestFaces(options: FaceOptions): Promise<TestFace[]> {
  const faces: TestFace[] = [];
  for await (const face of readTestFaces(options)) faces.push(face);
  return faces;
}

function faceOf(place: SamplePlace, picture: Pixels, maxSide: number): TestFace {
  const width = faceSide(picture.width, maxSide);
  const height = faceSide(picture.height, maxSide);
  if (width === 0 || height === 0)
    throw new SampleError(place.key, place.shard, `smaller than ${scale} pixels`);
  const x = Math.floor((picture.width - width) / 2);
  const y = Math.floor((picture.height - height) / 2);
  const pixels = new Uint8Array(width * height * 3);
  copyRectangle(picture, x, y, { width, height }, false, pixels);
  const hr = new Float32Array(pixels.length);
  const lr = new Float32Array(pixels.length / (scale * scale));
  writeSigned(pixels, hr, 0);
  reduceBicubic(pixels, width, height, lr);
  return { key: place.key, width, height, hr, lr };
}

function faceSide(side: number, maxSide: number): number {
  return Math.floor(Math.min(side, maxSide) / scale) * scale;
}
