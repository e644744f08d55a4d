// One sample of a packed dataset as pixels: its range is read from the store, compared with its
// sum, decoded, scaled, and kept in a cache. A semaphore bounds how many are read at a time.

import { decodeSample, resizedSize, type SampleClaims } from '../../dataset/samples.js';
import { PictureError, type Pixels } from '../../dataset/decode.js';
import type { DatasetIndex, DatasetSample } from '../../dataset/dataset-index.js';
import { messageOf } from '../../shared/problems.js';
import { ObjectNotFound, type ObjectStore } from '../../shared/store/store.js';

/** Samples that are read or decoded at the same time, and the memory they may take together. */
const maxReads = 16;
const maxReadBytes = 256 * 1024 * 1024;

/** Where a sample lies: what a reader needs to know of it, without the index. */
export interface SamplePlace extends SampleClaims {
  readonly key: string;
  /** File of the shard, under the dataset's url. */
  readonly shard: string;
  readonly offset: number;
}

/** The place of a sample of `index`. */
export function placeOf(index: Pick<DatasetIndex, 'shards'>, sample: DatasetSample): SamplePlace {
  const shard = index.shards[sample.shard];
  if (shard === undefined) throw new Error(`${sample.key} lies in no shard of the index`);
  return { ...sample, shard: shard.file };
}

/** A sample can't be used: which, where it lies, and why. */
export class SampleError extends Error {
  /** `isSpoiled`: it is not what the index says; else it could not be read at all. */
  constructor(
    readonly place: Pick<SamplePlace, 'key' | 'shard' | 'offset'>,
    readonly reason: string,
    readonly isSpoiled: boolean,
  ) {
    const { key, shard, offset } = place;
    super(`sample ${JSON.stringify(key)} in ${shard} at byte ${offset}: ${reason}`);
    this.name = 'SampleError';
  }
}

interface SampleReader {
  /** The sample's pixels, scaled; rejects with `SampleError`. */
  read(place: SamplePlace): Promise<Pixels>;
  /** Gives up what waits to be read. */
  stop(): void;
}

interface SampleReaderOptions {
  /** Stays the caller's to close. */
  readonly store: ObjectStore;
  /** Decoded pictures that are kept. */
  readonly cacheBytes: number;
  /** Pixels of the shorter side after scaling; 0 leaves pictures as they are. */
  readonly resize: number;
  /** Called with what is no failure, but should be known. */
  readonly onNotice?: (text: string) => void;
}

/** A reader of samples; the same sample is never read twice at once. */
export function createSampleReader(options: SampleReaderOptions): SampleReader {
  const semaphore = createSemaphore(maxReads, maxReadBytes);
  const cache = createPixelCache(options.cacheBytes);
  const underWay = new Map<string, Promise<Pixels>>();
  let isStopped = false;
  const load = async (place: SamplePlace): Promise<Pixels> => {
    const cost = costOf(place, options.resize);
    await semaphore.acquire(cost);
    try {
      if (isStopped) throw new Error('given up');
      const pixels = await readAndDecode(options, place);
      cache.set(place.key, pixels);
      return pixels;
    } catch (error) {
      throw sampleError(options.store, place, error);
    } finally {
      semaphore.release(cost);
    }
  };
  return {
    read(place) {
      const kept = cache.get(place.key);
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

/** What is not what the index says may be so only on its way here: it is read once more. */
async function readAndDecode(options: SampleReaderOptions, place: SamplePlace): Promise<Pixels> {
  try {
    return await readOnce(options, place);
  } catch (error) {
    if (!isSpoiled(error)) throw error;
    const pixels = await readOnce(options, place);
    const first = new SampleError(place, error.message, true).message;
    options.onNotice?.(`${first}; read again, it is right: is a disk, memory or proxy at fault?`);
    return pixels;
  }
}

async function readOnce({ store, resize }: SampleReaderOptions, place: SamplePlace) {
  const range = { start: place.offset, end: place.offset + place.bytes };
  return decodeSample(await store.get(place.shard, range), place, resize);
}

function isSpoiled(error: unknown): error is PictureError | ObjectNotFound {
  return error instanceof PictureError || error instanceof ObjectNotFound;
}

function sampleError({ url }: ObjectStore, place: SamplePlace, error: unknown): SampleError {
  if (!isSpoiled(error)) return new SampleError(place, messageOf(error), false);
  const whatToDo = `read twice; see: lockstep dataset verify ${url}`;
  return new SampleError(place, `${error.message} (${whatToDo})`, true);
}

/** Decoded pictures, kept as long as they fit; the longest unused goes first. */
interface PixelCache {
  /** The picture, now the most recently used; undefined when it is not kept. */
  get(key: string): Pixels | undefined;
  /** Keeps a picture and drops the longest unused ones; one above the limit is not kept. */
  set(key: string, pixels: Pixels): void;
  /** Bytes of the pictures kept, never above the limit. */
  readonly bytes: number;
}

/** A cache of at most `maxBytes` of pixels; 0 keeps nothing. */
export function createPixelCache(maxBytes: number): PixelCache {
  // A Map iterates in the order of insertion; a hit is inserted anew.
  const kept = new Map<string, Pixels>();
  let bytes = 0;
  const drop = (key: string): void => {
    bytes -= kept.get(key)?.data.byteLength ?? 0;
    kept.delete(key);
  };
  return {
    get(key) {
      const pixels = kept.get(key);
      if (pixels === undefined) return undefined;
      kept.delete(key);
      kept.set(key, pixels);
      return pixels;
    },
    set(key, pixels) {
      drop(key);
      if (pixels.data.byteLength > maxBytes) return;
      for (const oldest of kept.keys()) {
        if (bytes + pixels.data.byteLength <= maxBytes) break;
        drop(oldest);
      }
      kept.set(key, pixels);
      bytes += pixels.data.byteLength;
    },
    get bytes() {
      return bytes;
    },
  };
}

/** Bounds work under way: so many pieces at a time, and so many bytes together. */
interface Semaphore {
  /** Resolves when there is room, in the order of the calls; work above the limit goes alone. */
  acquire(bytes: number): Promise<void>;
  /** Called once for each `acquire`, with the same number. */
  release(bytes: number): void;
}

/** A semaphore for at most `maxCount` pieces of work of `maxBytes` together. */
export function createSemaphore(maxCount: number, maxBytes: number): Semaphore {
  const waiting: { bytes: number; admit: () => void }[] = [];
  let [count, held] = [0, 0];
  const admit = (): void => {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      if (count > 0 && (count >= maxCount || held + next.bytes > maxBytes)) return;
      waiting.shift();
      count++;
      held += next.bytes;
      next.admit();
    }
  };
  return {
    acquire(bytes) {
      const acquired = new Promise<void>((resolve) => waiting.push({ bytes, admit: resolve }));
      admit();
      return acquired;
    },
    release(bytes) {
      count--;
      held -= bytes;
      admit();
    },
  };
}
