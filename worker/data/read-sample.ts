// One sample of a packed dataset as pixels: its range is read from the store, decoded, scaled,
// and kept in the cache. The same sample is never read twice at once. Knows nothing of crops.

import { resizedSize } from '../../dataset/fit.js';
import { decodePicture, PictureError, type Pixels, type Size } from '../../dataset/decode.js';
import type { DatasetIndex, DatasetSample } from '../../dataset/index-format.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { createGate } from './gate.js';
import type { PixelCache } from './pixel-cache.js';

/** Samples that are read or decoded at the same time, and the memory they may take together. */
const maxReads = 16;
const maxReadBytes = 256 * 1024 * 1024;

/** Where a sample lies: what a reader needs to know of it, without the index. */
export interface SamplePlace {
  readonly key: string;
  /** File of the shard, under the dataset's url. */
  readonly shard: string;
  readonly offset: number;
  readonly bytes: number;
  readonly width: number;
  readonly height: number;
}

/** The place of a sample of `index`. */
export function placeOf(index: Pick<DatasetIndex, 'shards'>, sample: DatasetSample): SamplePlace {
  const shard = index.shards[sample.shard];
  if (shard === undefined) throw new Error(`${sample.key} lies in no shard of the index`);
  return { ...sample, shard: shard.file };
}

/** A sample can't be used: which, where it lies, and why. */
export class SampleError extends Error {
  constructor(
    readonly key: string,
    readonly shard: string,
    readonly reason: string,
  ) {
    super(`sample ${JSON.stringify(key)} in ${shard}: ${reason}`);
    this.name = 'SampleError';
  }
}

export interface SampleReader {
  /** The sample's pixels, scaled; rejects with `SampleError`. */
  read(place: SamplePlace): Promise<Pixels>;
  /** From now on what waits to be read is given up. */
  stop(): void;
}

export interface SampleReaderOptions {
  readonly store: ObjectStore;
  readonly cache: PixelCache;
  /** Pixels of the shorter side after scaling; 0 leaves pictures as they are. */
  readonly resize: number;
}

/** Creates a reader; the store stays the caller's to close. */
export function createSampleReader(options: SampleReaderOptions): SampleReader {
  const gate = createGate(maxReads, maxReadBytes);
  const underWay = new Map<string, Promise<Pixels>>();
  let isStopped = false;
  const load = async (place: SamplePlace): Promise<Pixels> => {
    const cost = costOf(place, options.resize);
    await gate.enter(cost);
    try {
      if (isStopped) throw new Error('given up');
      const pixels = await readAndDecode(options, place);
      options.cache.set(place.key, pixels);
      return pixels;
    } catch (error) {
      throw new SampleError(place.key, place.shard, reasonOf(error));
    } finally {
      gate.leave(cost);
    }
  };
  return {
    read(place) {
      const kept = options.cache.get(place.key);
      if (kept !== undefined) return Promise.resolve(kept);
      const known = underWay.get(place.key);
      if (known !== undefined) return known;
      const loading = load(place).finally(() => underWay.delete(place.key));
      underWay.set(place.key, loading);
      return loading;
    },
    stop() {
      isStopped = true;
    },
  };
}

/** Bytes of memory that reading a sample takes: the file and the larger of its two sizes. */
function costOf({ bytes, width, height }: SamplePlace, resize: number): number {
  const scaled = resizedSize({ width, height }, resize);
  return bytes + Math.max(width * height, scaled.width * scaled.height) * 3;
}

async function readAndDecode(options: SampleReaderOptions, place: SamplePlace): Promise<Pixels> {
  const range = { start: place.offset, end: place.offset + place.bytes };
  const bytes = await options.store.get(place.shard, range);
  if (bytes.length !== place.bytes)
    throw new PictureError(`the shard ends early: ${bytes.length} of ${place.bytes} bytes`);
  return decodePicture(bytes, (picture: Size) => {
    if (picture.width !== place.width || picture.height !== place.height)
      throw new PictureError(
        `it is ${picture.width}x${picture.height}; ` +
          `the index says ${place.width}x${place.height}`,
      );
    return resizedSize(picture, options.resize);
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
