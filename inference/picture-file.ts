// Reads a picture file band by band as 8-bit RGB, upright and in sRGB, whatever it holds: grey,
// CMYK, 16 bits a sample, transparency, an EXIF rotation. Files that cannot be read are the
// operator's mistake.

import sharp, { type Sharp } from 'sharp';
import { OperatorError } from '../shared/problems.js';
import { spanLength, type Span } from './tiles.js';

/** A picture file that was found readable. */
export interface PictureFile {
  /** Upright. */
  readonly width: number;
  readonly height: number;
  /** Without colours: its enlargement is written as grey, too. */
  readonly isGrey: boolean;
  readonly hasAlpha: boolean;
  /** Rows as RGB bytes [rows, width, 3]. */
  readColours(rows: Span): Promise<Uint8Array>;
  /** Rows of the alpha channel [rows, width]; only where the picture has one. */
  readAlpha(rows: Span): Promise<Uint8Array>;
}

/** Most pixels of a picture that is read: bounds what a small malicious file can unpack to. */
const largestPixels = 2 ** 29;

const readable = 'a picture that sharp can read (PNG, JPEG, WebP, TIFF, AVIF, GIF, ...)';

/** Opens a picture; an OperatorError says why it cannot be read. */
export async function openPicture(path: string): Promise<PictureFile> {
  const open = () => sharp(path, { limitInputPixels: largestPixels });
  const known = await refuse(path, async () => await open().metadata());
  const { width, height } = known.autoOrient;
  const isGrey = known.space === 'b-w' || known.space === 'grey16';
  const band = (rows: Span) =>
    open()
      .autoOrient()
      .toColourspace('srgb')
      .extract({ left: 0, top: rows.start, width, height: spanLength(rows) });
  const read = (image: Sharp, rows: Span, channels: number) =>
    refuse(path, async () => {
      const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
      if (info.channels !== channels || info.height !== spanLength(rows))
        throw new Error(`${info.channels} channels, where ${channels} were expected`);
      return data;
    });
  return {
    width,
    height,
    isGrey,
    hasAlpha: known.hasAlpha,
    readColours: (rows) => read(band(rows).removeAlpha(), rows, 3),
    readAlpha: (rows) => read(band(rows).ensureAlpha().extractChannel('alpha'), rows, 1),
  };
}

async function refuse<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new OperatorError(`the picture cannot be read: ${why}`, [
      { key: 'input', given: path, allowed: readable },
    ]);
  }
}
