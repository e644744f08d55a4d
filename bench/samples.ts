// What reading a sample costs: the bytes from the store, their sum, and the decoding, one sample
// after the other, as a worker reads each the first time. It measures and decides nothing.

import { readDatasetIndex } from '../dataset/dataset-index.js';
import { decodeSample } from '../dataset/samples.js';
import { sha256Of } from '../shared/sha256.js';
import type { ObjectStore } from '../shared/store/store.js';
import { placeOf } from '../worker/data/sample-reader.js';

/** Milliseconds are means over the samples, of wall time. */
export interface SamplesBenchResult {
  readonly samples: number;
  readonly mean_bytes: number;
  readonly read_ms: number;
  readonly sum_ms: number;
  /** Without the sum. */
  readonly decode_ms: number;
  /** What the sum adds to the rest, in percent. */
  readonly sum_percent: number;
}

/** Reads the first `limit` samples of a dataset. */
export async function benchSamples(store: ObjectStore, limit: number): Promise<SamplesBenchResult> {
  const { index } = await readDatasetIndex(store);
  const places = index.samples.slice(0, limit).map((sample) => placeOf(index, sample));
  let [bytes, readMs, sumMs, decodeMs] = [0, 0, 0, 0];
  const now = (): number => performance.now();
  for (const place of places) {
    const startMs = now();
    const range = { start: place.offset, end: place.offset + place.bytes };
    const body = await store.get(place.shard, range);
    const readAtMs = now();
    sha256Of(body);
    const summedAtMs = now();
    await decodeSample(body, { ...place, sha256: undefined });
    decodeMs += now() - summedAtMs;
    sumMs += summedAtMs - readAtMs;
    readMs += readAtMs - startMs;
    bytes += body.length;
  }
  const mean = (ms: number): number => Number((ms / places.length).toFixed(4));
  return {
    samples: places.length,
    mean_bytes: Math.round(bytes / places.length),
    ...{ read_ms: mean(readMs), sum_ms: mean(sumMs), decode_ms: mean(decodeMs) },
    sum_percent: Number(((100 * sumMs) / (readMs + decodeMs)).toFixed(1)),
  };
}
