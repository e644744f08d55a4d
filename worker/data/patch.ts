// From a decoded picture to what the step eats: where a sample is cropped and whether it is
// flipped (a hash decides), and its two resolutions as floats. Pure.

import type { Pixels, Size } from '../../dataset/decode.js';
import { hashIntegers } from '../../shared/random.js';
import { downsampleBicubic, scale } from './bicubic.js';

/** What makes two choices about one sample independent of each other. */
const salts = { x: 0x63726f70, y: 0x63726f71, flip: 0x666c6970 } as const;

/** The square of a picture that is used this time; x, y, side in pixels of the picture. */
export interface Cut {
  readonly x: number;
  readonly y: number;
  readonly side: number;
  /** Mirrored left to right. */
  readonly flipped: boolean;
}

/** What the choices about a sample depend on, and nothing else. */
export interface CutKey {
  readonly seed: number;
  readonly epoch: number;
  /** Index of the sample among the training samples. */
  readonly sample: number;
}

/** Chooses the cut of a picture at least `side` wide and high. */
export function chooseCut(key: CutKey, size: Size, side: number, mayFlip: boolean): Cut {
  const draw = (salt: number, count: number): number =>
    Math.floor((hashIntegers(key.seed, key.epoch, key.sample, salt) / 2 ** 32) * count);
  return {
    x: draw(salts.x, size.width - side + 1),
    y: draw(salts.y, size.height - side + 1),
    side,
    flipped: mayFlip && draw(salts.flip, 2) === 1,
  };
}

/** Copies the rectangle at (x, y) of a picture; mirrored left to right when `flipped`. */
export function copyRectangle(
  picture: Pixels,
  x: number,
  y: number,
  size: Size,
  flipped: boolean,
  out: Uint8Array,
): void {
  const stride = size.width * 3;
  for (let row = 0; row < size.height; row++) {
    const from = ((y + row) * picture.width + x) * 3;
    if (flipped) copyMirrored(picture.data, from, out, row * stride, stride);
    else out.set(picture.data.subarray(from, from + stride), row * stride);
  }
}

function copyMirrored(
  source: Uint8Array,
  from: number,
  out: Uint8Array,
  to: number,
  length: number,
): void {
  let at = to + length - 3;
  for (let i = from; i < from + length; i += 3, at -= 3) {
    out[at] = source[i];
    out[at + 1] = source[i + 1];
    out[at + 2] = source[i + 2];
  }
}

const signedOf = Float32Array.from({ length: 256 }, (_, v) => v / 127.5 - 1);

/** Writes 8-bit values as floats in [-1, 1] (v / 127.5 - 1) to `out` from `offset` on. */
export function writeSigned(pixels: Uint8Array, out: Float32Array, offset: number): void {
  for (let i = 0; i < pixels.length; i++) out[offset + i] = signedOf[pixels[i]];
}

/** The pixels of one patch: kept between patches, which saves the allocation. */
let patch = new Uint8Array(0);

/**
 * Writes the cut of a picture, whose side is a multiple of 4, into place `slot` of a micro-shard:
 * as high resolution in [-1, 1] and as low resolution in [0, 1].
 */
export function writePatch(
  picture: Pixels,
  { x, y, side, flipped }: Cut,
  hr: Float32Array,
  lr: Float32Array,
  slot: number,
): void {
  if (patch.length !== side * side * 3) patch = new Uint8Array(side * side * 3);
  copyRectangle(picture, x, y, { width: side, height: side }, flipped, patch);
  writeSigned(patch, hr, slot * patch.length);
  downsampleBicubic(patch, side, side, lr, (slot * patch.length) / (scale * scale));
}
