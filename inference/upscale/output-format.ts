// The formats that an enlarged picture is written in: their names, their limits, and how the
// finished PNG becomes one of them. Converting reads and writes rows as they come, except for WebP
// and AVIF, which are small enough to be held.

import { extname } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import type { Problem } from '../../shared/problems.js';
import type { PictureFile } from './picture-file.js';
import { spaceOf } from './picture-file.js';

/** Names of formats, which are endings of files, too. */
export const outputFormats = ['png', 'jpg', 'webp', 'avif', 'tif'] as const;

export type OutputFormat = (typeof outputFormats)[number];

/** What is asked of an output. */
export interface OutputForm {
  readonly format: OutputFormat;
  /** Of a format that loses: 1 to 100; the format's own when left out. */
  readonly quality?: number | undefined;
  /** Output pixels a side for each input pixel, at most the model's; the model's when left out. */
  readonly scale?: number | undefined;
}

interface FormatFacts {
  /** Other endings of its files. */
  readonly also: readonly string[];
  readonly largestSide: number;
  /** Default of a format that loses; undefined for a lossless one. */
  readonly quality?: number;
  readonly keepsDepth: boolean;
  readonly keepsGrey: boolean;
}

const facts: Readonly<Record<OutputFormat, FormatFacts>> = {
  png: { also: [], largestSide: 2 ** 31 - 1, keepsDepth: true, keepsGrey: true },
  jpg: {
    ...{ also: ['jpeg', 'jpe', 'jfif'], largestSide: 65_535, quality: 95 },
    ...{ keepsDepth: false, keepsGrey: true },
  },
  webp: { also: [], largestSide: 16_383, quality: 95, keepsDepth: false, keepsGrey: false },
  avif: { also: [], largestSide: 16_384, quality: 80, keepsDepth: false, keepsGrey: false },
  tif: { also: ['tiff'], largestSide: 2 ** 31 - 1, keepsDepth: true, keepsGrey: true },
};

/** The format that a name's ending means. */
export function formatOfName(path: string): OutputFormat | undefined {
  const ending = extname(path).slice(1).toLowerCase();
  return outputFormats.find((name) => name === ending || facts[name].also.includes(ending));
}

/** The format for a picture that was read in that one (in libvips' words): the same, or PNG. */
export function formatLike(read: string): OutputFormat {
  if (read === 'heif') return 'avif';
  return formatOfName(`x.${read}`) ?? 'png';
}

/** What is wrong with a quality for that format. */
export function qualityProblem({ format, quality }: OutputForm): Problem | undefined {
  if (quality === undefined || facts[format].quality !== undefined) return undefined;
  const lossy = outputFormats.filter((name) => facts[name].quality !== undefined);
  const allowed = `only with the formats ${lossy.join(', ')}`;
  return { key: '--quality', given: quality, allowed, hint: `${format} is lossless` };
}

/** What is wrong with a picture of that size in the format. */
export function sizeProblem(format: OutputFormat, size: PixelSides): Problem | undefined {
  const { largestSide } = facts[format];
  if (Math.max(size.width, size.height) <= largestSide) return undefined;
  return {
    key: 'output',
    given: `${size.width}x${size.height}`,
    allowed: `sides of at most ${largestSide} pixels in the format ${format}`,
    hint: 'png and tif have no such limit',
  };
}

/** Pixels of both sides. */
export interface PixelSides {
  readonly width: number;
  readonly height: number;
}

/** A finished PNG, and the picture that it is an enlargement of. */
export interface FinishedPng {
  readonly path: string;
  readonly size: PixelSides;
  readonly picture: PictureFile;
}

/** The PNG as an image of that format and size; undefined where it is that already. */
export function converted(
  { path, size, picture }: FinishedPng,
  { format, quality = facts[format].quality }: OutputForm,
  wanted: PixelSides,
): Sharp | undefined {
  const isResized = wanted.width !== size.width || wanted.height !== size.height;
  if (format === 'png' && !isResized) return undefined;
  const { keepsDepth, keepsGrey } = facts[format];
  const isGrey = picture.isGrey && keepsGrey;
  // A grey profile says nothing of colours: where grey is written as them, it is used up.
  const keepsProfile = isGrey === picture.isGrey;
  const image = sharp(path, {
    ...{ limitInputPixels: false, sequentialRead: true, ignoreIcc: keepsProfile },
  });
  if (isResized) image.resize({ ...wanted, kernel: 'lanczos3', fit: 'fill' });
  // It has no transparency.
  if (format === 'jpg') image.flatten({ background: '#fff' });
  image
    .toColourspace(spaceOf(isGrey, keepsDepth ? picture.depth : 8))
    .keepExif()
    .keepXmp();
  if (keepsProfile) image.keepIccProfile();
  const bytes = (wanted.width * wanted.height * 4 * picture.depth) / 8;
  if (format !== 'tif') return encoded(image, format, quality, wanted.width * wanted.height);
  const pixelsPerMm = (picture.metadata.density ?? 72) / 25.4;
  return image.tiff({
    ...{ compression: 'lzw', predictor: 'horizontal', bigtiff: bytes > largestTiff },
    ...{ xres: pixelsPerMm, yres: pixelsPerMm },
  });
}

/** Offsets in a plain TIFF end at 4 GiB, and LZW may make noise a little larger. */
const largestTiff = 2 ** 31;

/** A JPEG with codes of its own is held in whole until they are known: 12 bytes a pixel. */
const mostOptimizedPixels = 2 ** 25;

function encoded(
  image: Sharp,
  format: Exclude<OutputFormat, 'tif'>,
  quality: number | undefined,
  pixels: number,
): Sharp {
  if (format === 'png') return image.png();
  if (format === 'webp') return image.webp({ ...(quality && { quality }) });
  if (format === 'avif') return image.avif({ ...(quality && { quality }) });
  const chromaSubsampling = (quality ?? 0) >= 90 ? '4:4:4' : '4:2:0';
  const optimizeCoding = pixels <= mostOptimizedPixels;
  return image.jpeg({ ...(quality && { quality }), chromaSubsampling, optimizeCoding });
}
