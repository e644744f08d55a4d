// Which samples training never sees: decided by a hash of the sample's key alone, so that adding
// or removing samples never moves another one from one side to the other.

import { createHash } from 'node:crypto';
import type { DatasetIndex, DatasetSample } from './index-format.js';

export interface DatasetSplit {
  /** In the order of their keys, as in the index. */
  readonly train: DatasetSample[];
  /** In the order of their hashes, so that the first n are a fair draw, whatever the names. */
  readonly test: DatasetSample[];
}

/** A key's place in [0, 1): the first 32 bits of its SHA-256 (UTF-8, big-endian) over 2^32. */
export function keyFraction(key: string): number {
  return createHash('sha256').update(key, 'utf8').digest().readUInt32BE(0) / 2 ** 32;
}

/** Splits the samples: those whose key's fraction is below `testFraction` are for testing. */
export function splitSamples(
  index: Pick<DatasetIndex, 'samples'>,
  testFraction: number,
): DatasetSplit {
  const train: DatasetSample[] = [];
  const drawn: { fraction: number; sample: DatasetSample }[] = [];
  for (const sample of index.samples) {
    const fraction = keyFraction(sample.key);
    if (fraction < testFraction) drawn.push({ fraction, sample });
    else train.push(sample);
  }
  // The sort is stable: keys of equal fraction stay in the order of the index.
  drawn.sort((a, b) => a.fraction - b.fraction);
  return { train, test: drawn.map(({ sample }) => sample) };
}
