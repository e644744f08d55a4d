// What a camera and the web do to a picture before anybody enlarges it: blur, noise, compression.
// They are laid over a copy of the high-resolution patch, which only the low resolution is made of.
// How much of each is a hash of the sample, as its crop is; arithmetic is in doubles and in a fixed
// order, without transcendental functions, so the bytes are the same everywhere.

import sharp from 'sharp';
import type { Pixels } from '../../dataset/decode.js';
import { createRandomStream, hashIntegers } from '../../shared/random.js';
import type { DegradationSpec } from '../../shared/spec/schema.js';
import { downsampleBicubic, scale, toByte } from './bicubic.js';
import { copyRectangle, writeSigned, type Cut, type CutKey } from './patch.js';

/** What makes choices about one sample independent of each other, and of its crop. */
const salts = { blur: 0x626c7572, noise: 0x6e6f6973, grain: 0x67726e73, jpeg: 0x6a706567 } as const;

/** What is done to one patch, in this order; 0 of it, or undefined: nothing. */
export interface Degradation {
  /** Standard deviation of a Gaussian blur, in high-resolution pixels. */
  readonly blur: number;
  /** Standard deviation of Gaussian noise in 8-bit values, each colour on its own. */
  readonly noise: number;
  /** Seed of the noise. */
  readonly grain: number;
  /** Quality of a JPEG with halved colour resolution, 1 to 100. */
  readonly jpeg: number | undefined;
}

/** Chooses what is done to a sample this time: each value uniform in its range. */
export function chooseDegradation(
  { seed, epoch, sample }: CutKey,
  { blur = [0, 0], noise = [0, 0], jpeg }: DegradationSpec,
): Degradation {
  const hash = (salt: number): number => hashIntegers(seed, epoch, sample, salt);
  const draw = (salt: number, low: number, high: number): number =>
    low + (hash(salt) / 2 ** 32) * (high - low);
  return {
    blur: draw(salts.blur, blur[0], blur[1]),
    noise: draw(salts.noise, noise[0], noise[1]),
    grain: hash(salts.grain),
    jpeg: jpeg && Math.floor(draw(salts.jpeg, jpeg[0], jpeg[1] + 1)),
  };
}

/**
 * Writes the cut of a picture into place `slot` of a micro-shard, as `writePatch` does, but makes
 * the low resolution of a degraded copy.
 */
export async function writeDegradedPatch(
  picture: Pixels,
  { x, y, side, flipped }: Cut,
  degradation: Degradation,
  hr: Float32Array,
  lr: Float32Array,
  slot: number,
): Promise<void> {
  const patch = new Uint8Array(side * side * 3);
  copyRectangle(picture, x, y, { width: side, height: side }, flipped, patch);
  writeSigned(patch, hr, slot * patch.length);
  const degraded = await degrade({ data: patch, width: side, height: side }, degradation);
  downsampleBicubic(degraded, side, side, lr, (slot * patch.length) / (scale * scale));
}

/** The degraded copy of a picture: as many bytes of RGB. */
export async function degrade(
  { data, width, height }: Pixels,
  { blur, noise, grain, jpeg }: Degradation,
): Promise<Uint8Array> {
  let values: Float64Array = Float64Array.from(data);
  const weights = gaussian(blur);
  if (weights.length > 1)
    values = blurRows(blurColumns(values, width * 3, weights), width, weights);
  if (noise > 0) {
    const stream = createRandomStream(grain);
    for (let i = 0; i < values.length; i++) values[i] += noise * stream.normal();
  }
  const bytes = Uint8Array.from(values, toByte);
  if (jpeg === undefined) return bytes;
  const raw = { width, height, channels: 3 } as const;
  const file = await sharp(bytes, { raw }).jpeg({ quality: jpeg }).toBuffer();
  return await sharp(file).raw().toBuffer();
}

/** Weights of a Gaussian from -3 to 3 standard deviations in whole pixels; their sum is 1. */
export function gaussian(deviation: number): Float64Array {
  const radius = Math.ceil(3 * deviation);
  const weights = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    i === radius ? 1 : decay((i - radius) ** 2 / (2 * deviation * deviation)),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** e^-t for t >= 0, of exact operations: the series at t / 2^n, squared n times. */
function decay(t: number): number {
  let [part, squarings] = [t, 0];
  for (; part > 0.25; squarings++) part /= 2;
  let sum = 1;
  for (let term = 10; term >= 1; term--) sum = 1 + (sum * part) / term;
  let result = 1 / sum;
  for (; squarings > 0; squarings--) result *= result;
  return result;
}

/** Each row becomes the weighted sum of those around it; the first and the last repeat. */
function blurColumns(values: Float64Array, stride: number, weights: Float64Array): Float64Array {
  const out = new Float64Array(values.length);
  const radius = (weights.length - 1) / 2;
  const rows = values.length / stride;
  for (let row = 0; row < rows; row++)
    for (let tap = 0; tap < weights.length; tap++) {
      const from = Math.min(rows - 1, Math.max(0, row + tap - radius)) * stride;
      const weight = weights[tap];
      for (let i = 0; i < stride; i++) out[row * stride + i] += weight * values[from + i];
    }
  return out;
}

/** The same along each row, with its first and last pixel repeated. */
function blurRows(values: Float64Array, width: number, weights: Float64Array): Float64Array {
  const out = new Float64Array(values.length);
  const radius = (weights.length - 1) / 2;
  const stride = width * 3;
  const wide = new Float64Array(stride + 6 * radius);
  for (let start = 0; start < values.length; start += stride) {
    for (let i = 0; i < wide.length; i += 3) {
      const from = start + Math.min(stride - 3, Math.max(0, i - 3 * radius));
      for (let c = 0; c < 3; c++) wide[i + c] = values[from + c];
    }
    for (let tap = 0; tap < weights.length; tap++) {
      const weight = weights[tap];
      for (let i = 0; i < stride; i++) out[start + i] += weight * wide[3 * tap + i];
    }
  }
  return out;
}
