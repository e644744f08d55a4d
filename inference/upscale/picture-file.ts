// Picture files of any size, decoded a few rows at a time: upright, with the samples that they have
// (grey or RGB, 8 or 16 bits, with or without transparency) in their own profile's colours. What a
// generator can't see at all (CMYK, Lab) becomes 8-bit sRGB.

import type { Metadata, Sharp } from 'sharp';
import { decodingFault, openImage } from '../../dataset/decode.js';
import { pictureFormats } from '../../dataset/picture-formats.js';
import { readRegularFile } from '../../shared/local-files.js';
import { messageOf, OperatorError } from '../../shared/problems.js';
import { emptyLike, spanLength, type Samples, type Span } from '../enlarge.js';
import { onBackdrop } from './backdrop.js';

/** A picture file that was found readable. */
export interface PictureFile {
  /** Upright. */
  readonly width: number;
  readonly height: number;
  /** Without colours: its enlargement is written as grey, too. */
  readonly isGrey: boolean;
  readonly hasAlpha: boolean;
  /** Bits a sample. */
  readonly depth: 8 | 16;
  /** Its samples are numbers of its own profile; false: they were made sRGB. */
  readonly hasOwnColours: boolean;
  /** What the file says beside its pixels. */
  readonly metadata: Metadata;
  /**
   * Rows as RGB samples [rows, width, 3]: grey is repeated, and what is transparent lies on a
   * backdrop of the picture's own colours, which depends on `backdropRadius` rows around.
   */
  readColours(rows: Span): Promise<Samples>;
  /** Rows of the alpha channel [rows, width]; only where the picture has one. */
  readAlpha(rows: Span): Promise<Samples>;
}

/** A picture's bytes, and what to call it in a message. */
export interface PictureBytes {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Most pixels of a picture that is read: bounds what a small malicious file can unpack to. */
const largestPixels = 2 ** 29;

/** Bytes of the largest picture file that is read: the largest that Node reads at once. */
export const largestPictureBytes = 2 ** 31 - 1;

/** Reads a file; an OperatorError says why it cannot be read. */
export async function readPicture(path: string): Promise<PictureBytes> {
  const bytes = await readRegularFile(path, largestPictureBytes).catch((error: unknown) => {
    throw unreadable(path, messageOf(error));
  });
  return { name: path, bytes };
}

function unreadable(name: string, reason: string): OperatorError {
  const allowed = 'a picture (PNG, JPEG, WebP, TIFF, AVIF or GIF) in a regular file';
  return new OperatorError(`the picture cannot be read: ${reason}`, [
    { key: 'input', given: name, allowed },
  ]);
}

/** Spaces whose numbers a generator takes as they are. */
const ownSpaces: ReadonlySet<string> = new Set(['srgb', 'rgb16', 'b-w', 'grey16']);

/** Spaces that become sRGB. */
const convertedSpaces: ReadonlySet<string> = new Set(['cmyk', 'lab', 'labs', 'xyz', 'lch']);

/** Opens a picture; an OperatorError says why it cannot be read. */
export async function openPicture({ name, bytes }: PictureBytes): Promise<PictureFile> {
  const refuse = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw unreadable(name, decodingFault(error, bytes, largestPixels));
    }
  };
  const metadata = await refuse(() => openImage(bytes, largestPixels).metadata());
  const { format, space, depth: kind, autoOrient, hasAlpha } = metadata;
  if (!pictureFormats.has(format)) throw unreadable(name, `${format} is not read`);
  const hasOwnColours = ownSpaces.has(space) && (kind === 'uchar' || kind === 'ushort');
  if (!hasOwnColours && !convertedSpaces.has(space))
    throw unreadable(
      name,
      `samples of type ${kind} (${space}) are not read: convert it to 16 bits`,
    );
  const isGrey = hasOwnColours && (space === 'b-w' || space === 'grey16');
  const depth = hasOwnColours && kind === 'ushort' ? 16 : 8;
  const colours = isGrey ? 1 : 3;
  const { width } = autoOrient;
  const channels = colours + (hasAlpha ? 1 : 0);
  // As raw samples, libvips' 8-bit grey comes without its transparency.
  const readsRgb = isGrey && hasAlpha && depth === 8;
  const readSamples = (rows: Span): Promise<Samples> =>
    refuse(async () => {
      const image = openImage(bytes, largestPixels, hasOwnColours ? 'own' : 'srgb')
        .extract({ left: 0, top: rows.start, width, height: spanLength(rows) })
        .toColourspace(spaceOf(isGrey && !readsRgb, depth));
      if (!hasAlpha) image.removeAlpha();
      const count = spanLength(rows) * width;
      const samples = await rawSamples(image, depth, count * (readsRgb ? 4 : channels));
      return readsRgb ? withoutEqualColours(samples) : samples;
    });
  return {
    ...{ width, height: autoOrient.height, isGrey, hasAlpha, depth, hasOwnColours, metadata },
    readColours: async (rows) => {
      const samples = await readSamples(rows);
      if (!hasAlpha) return asRgb(samples, colours);
      return asRgb(onBackdrop({ samples, width, channels: colours === 1 ? 2 : 4 }), colours);
    },
    readAlpha: async (rows) => lastOfEach(await readSamples(rows), channels),
  };
}

/** The colour space, in the words of libvips, of samples that are as they were. */
export function spaceOf(isGrey: boolean, depth: 8 | 16): 'b-w' | 'grey16' | 'srgb' | 'rgb16' {
  if (isGrey) return depth === 16 ? 'grey16' : 'b-w';
  return depth === 16 ? 'rgb16' : 'srgb';
}

/** The image's samples, of which there must be so many; interleaved. */
export async function rawSamples(image: Sharp, depth: 8 | 16, count: number): Promise<Samples> {
  const data = await image.raw({ depth: depth === 16 ? 'ushort' : 'uchar' }).toBuffer();
  const found = data.length / (depth / 8);
  if (found !== count) throw new Error(`${found} samples, where ${count} were expected`);
  if (depth === 8) return data;
  // A view of 16 bits must start at an even byte.
  const even = data.byteOffset % 2 === 0 ? data : Uint8Array.from(data);
  return new Uint16Array(even.buffer, even.byteOffset, count);
}

function asRgb(samples: Samples, colours: 1 | 3): Samples {
  if (colours === 3) return samples;
  const rgb = emptyLike(samples, 3 * samples.length);
  for (let i = 0; i < rgb.length; i++) rgb[i] = samples[Math.trunc(i / 3)];
  return rgb;
}

/** Grey and alpha of RGB and alpha. */
function withoutEqualColours(samples: Samples): Samples {
  const grey = emptyLike(samples, samples.length / 2);
  for (let i = 0; i < grey.length; i++) grey[i] = samples[2 * i + (i % 2)];
  return grey;
}

/** The last of every `channels` samples. */
function lastOfEach(samples: Samples, channels: number): Samples {
  const alpha = emptyLike(samples, samples.length / channels);
  for (let i = 0; i < alpha.length; i++) alpha[i] = samples[(i + 1) * channels - 1];
  return alpha;
}
