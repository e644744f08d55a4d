// How near a picture is to the original, as the super-resolution literature counts it: PSNR and
// SSIM on the luma of 8-bit pictures, with the border left out (4 pixels for an enlargement by
// 4).

import type { Picture } from './pictures/picture.js';

/** Pixels left out on each side. */
export const qualityBorder = 4;

/** PSNR of equal pictures, which would be infinite; no PSNR is above it. */
const highestPsnr = 100;

/** Distance between two pictures of one size. */
export interface Quality {
  /** Peak signal to noise ratio, in decibels. */
  readonly psnr: number;
  /** Structural similarity: 1 for equal pictures. */
  readonly ssim: number;
}

/** One channel of floats, row by row. */
interface Plane {
  readonly width: number;
  readonly height: number;
  readonly values: Float64Array;
}

/** PSNR and SSIM of two pictures of the same size, which must be at least 19 pixels each way. */
export function qualityOf(picture: Picture, original: Picture, border = qualityBorder): Quality {
  const same = picture.width === original.width && picture.height === original.height;
  if (!same) throw new Error('pictures of different sizes cannot be compared');
  const a = lumaOf(picture, border);
  const b = lumaOf(original, border);
  return { psnr: psnrOf(a, b), ssim: ssimOf(a, b) };
}

// ITU-R BT.601 with the footroom of MATLAB's rgb2ycbcr (16 to 235), not rounded.
function lumaOf({ width, height, data }: Picture, border: number): Plane {
  const inner = { width: width - 2 * border, height: height - 2 * border };
  if (Math.min(inner.width, inner.height) < window.length)
    throw new Error(`${width}x${height} pixels are too few to compare`);
  const values = new Float64Array(inner.width * inner.height);
  for (let y = 0; y < inner.height; y++)
    for (let x = 0; x < inner.width; x++) {
      const i = ((y + border) * width + x + border) * 3;
      const [r, g, b] = data.subarray(i, i + 3);
      values[y * inner.width + x] = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255;
    }
  return { ...inner, values };
}

function psnrOf(a: Plane, b: Plane): number {
  let sum = 0;
  for (let i = 0; i < a.values.length; i++) sum += (a.values[i] - b.values[i]) ** 2;
  const decibels = 10 * Math.log10((255 * 255 * a.values.length) / sum);
  return Math.min(highestPsnr, decibels);
}

// Gaussian window of 11 samples, sigma 1.5, sum 1; the 2-D window is its outer product.
const window = normalized(Array.from({ length: 11 }, (_, i) => Math.exp(-((i - 5) ** 2) / 4.5)));

function normalized(weights: readonly number[]): Float64Array {
  const sum = weights.reduce((a, b) => a + b, 0);
  return Float64Array.from(weights, (weight) => weight / sum);
}

// Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
// structural similarity" (2004), equation 13, over the region where the whole window fits.
function ssimOf(a: Plane, b: Plane): number {
  const c1 = (0.01 * 255) ** 2;
  const c2 = (0.03 * 255) ** 2;
  const [meanA, meanB] = [blur(a), blur(b)];
  const [squareA, squareB, cross] = [blur(times(a, a)), blur(times(b, b)), blur(times(a, b))];
  let sum = 0;
  for (let i = 0; i < meanA.values.length; i++) {
    const [ma, mb] = [meanA.values[i], meanB.values[i]];
    const varianceSum = squareA.values[i] - ma * ma + squareB.values[i] - mb * mb;
    const covariance = cross.values[i] - ma * mb;
    const likeness = (2 * ma * mb + c1) * (2 * covariance + c2);
    sum += likeness / ((ma * ma + mb * mb + c1) * (varianceSum + c2));
  }
  return sum / meanA.values.length;
}

function times(a: Plane, b: Plane): Plane {
  return { ...a, values: a.values.map((value, i) => value * b.values[i]) };
}

function blur(plane: Plane): Plane {
  return transposedBlurOfRows(transposedBlurOfRows(plane));
}

// Twice this is a blur both ways, with rows and columns back in their places.
function transposedBlurOfRows({ width, height, values }: Plane): Plane {
  const across = width - window.length + 1;
  const blurred = new Float64Array(across * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < across; x++) {
      let sum = 0;
      for (let k = 0; k < window.length; k++) sum += window[k] * values[y * width + x + k];
      blurred[x * height + y] = sum;
    }
  return { width: height, height: across, values: blurred };
}
