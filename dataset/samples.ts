// The samples of a dataset: which of them a run trains on, whether they hold the crops of its spec,
// and whether their bytes are still those that were packed.

import { createHash } from 'node:crypto';
import type { Problem } from '../shared/problems.js';
import { sha256Of } from '../shared/sha256.js';
import type { DatasetIndex, DatasetSample } from './dataset-index.js';
import { decodePicture, PictureError, type Pixels, type Size } from './decode.js';

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

/** What is held out together: single pictures, or all pictures of a person. */
export type SplitBy = 'picture' | 'identity';

/**
 * Who a picture shows, by its key: all before the last underscore of its name ("faces/017_03" and
 * "faces/017_08" show faces/017); without an underscore the picture stands alone.
 */
export function identityOf(key: string): string {
  const end = key.lastIndexOf('_');
  return end > key.lastIndexOf('/') + 1 ? key.slice(0, end) : key;
}

/**
 * Splits the samples: those whose fraction (of the key, or of the identity that it names) is below
 * `testFraction` are for testing.
 */
export function splitSamples(
  index: Pick<DatasetIndex, 'samples'>,
  testFraction: number,
  splitBy: SplitBy = 'picture',
): DatasetSplit {
  const train: DatasetSample[] = [];
  const drawn: { fraction: number; sample: DatasetSample }[] = [];
  for (const sample of index.samples) {
    const fraction = keyFraction(splitBy === 'picture' ? sample.key : identityOf(sample.key));
    if (fraction < testFraction) drawn.push({ fraction, sample });
    else train.push(sample);
  }
  // The sort is stable: keys of equal fraction stay in the order of the index.
  drawn.sort((a, b) => a.fraction - b.fraction);
  return { train, test: drawn.map(({ sample }) => sample) };
}

/** How many of `samples` would be held out, at shares as the presets have them. */
export function heldOutShares(samples: readonly Pick<DatasetSample, 'key'>[]): HeldOut[] {
  const fractions = samples.map(({ key }) => keyFraction(key));
  return [0.01, 0.05, 0.2].map((share) => ({
    testFraction: share,
    samples: fractions.filter((fraction) => fraction < share).length,
  }));
}

export interface HeldOut {
  readonly testFraction: number;
  readonly samples: number;
}

/** What an operator should know of a split before a run; empty for nothing. */
export function splitNotices({ train, test }: DatasetSplit, testFraction: number): string[] {
  const notices: string[] = [];
  if (test.length === 0 && testFraction > 0)
    notices.push(
      `dataset.testFraction ${testFraction} holds out none of ${train.length} pictures: nothing ` +
        `is evaluated (the hash of a picture's key decides; a larger share holds some out)`,
    );
  const trained = new Set(train.map(({ sha256 }) => sha256));
  trained.delete(undefined);
  const known = test.filter(({ sha256 }) => trained.has(sha256));
  if (known.length > 0)
    notices.push(
      `${known.length} of the ${test.length} pictures that are held out are trained on under ` +
        `another name, which flatters the figures: ${nameSome(known.map(({ key }) => key))}`,
    );
  return notices;
}

const maxNames = 5;

/** The first few names, and how many more there are. */
export function nameSome(names: readonly string[]): string {
  const more = names.length > maxNames ? `, and ${names.length - maxNames} more` : '';
  const first = names.slice(0, maxNames).map((name) => JSON.stringify(name));
  return `${first.join(', ')}${more}`;
}

const maxProblems = 20;

/**
 * The size a picture is scaled to so that its shorter side has `shorter` pixels; 0 leaves it.
 * The longer side is rounded, and at least as long as the shorter one.
 */
export function resizedSize({ width, height }: Size, shorter: number): Size {
  if (shorter === 0) return { width, height };
  const longer = Math.round((Math.max(width, height) * shorter) / Math.min(width, height));
  return width < height ? { width: shorter, height: longer } : { width: longer, height: shorter };
}

/** The samples that hold no crop, once scaled, as problems (the first of them). */
export function fitProblems(
  samples: readonly DatasetSample[],
  { crop, resize }: { readonly crop: number; readonly resize: number },
): Problem[] {
  const isTooSmall = (sample: DatasetSample): boolean => {
    const { width, height } = resizedSize(sample, resize);
    return Math.min(width, height) < crop;
  };
  return samples
    .filter(isTooSmall)
    .slice(0, maxProblems)
    .map(({ key, width, height }) => ({
      key: `sample ${JSON.stringify(key)}`,
      given: `${width}x${height}`,
      allowed: `at least ${crop}x${crop}`,
      hint: `pack with --min-size ${crop}, set dataset.resize, or a smaller dataset.crop`,
    }));
}

/** What the index says of a sample's bytes. */
export type SampleClaims = Pick<DatasetSample, 'bytes' | 'sha256' | 'width' | 'height'>;

/**
 * The pixels of a sample, scaled so that the shorter side has `resize` pixels (0: not). Throws
 * `PictureError` when the bytes are not what the index says, or can't be decoded.
 */
export async function decodeSample(
  bytes: Uint8Array,
  claims: SampleClaims,
  resize = 0,
): Promise<Pixels> {
  if (bytes.length !== claims.bytes)
    throw new PictureError(
      `${bytes.length} bytes were read there, and the index says ${claims.bytes}`,
    );
  const sum = sha256Of(bytes);
  if (claims.sha256 !== undefined && sum !== claims.sha256)
    throw new PictureError(`its SHA-256 is ${sum}, and the index says ${claims.sha256}`);
  return decodePicture(bytes, (picture: Size) => {
    if (picture.width !== claims.width || picture.height !== claims.height)
      throw new PictureError(
        `it is ${picture.width}x${picture.height}, and the index says ` +
          `${claims.width}x${claims.height}`,
      );
    return resizedSize(picture, resize);
  });
}
