// Pictures as 8-bit sRGB pixels: the one place where an untrusted picture file is decoded, both
// when a dataset is packed and when a worker reads it.
// Grey, CMYK, 16-bit and embedded profiles become 8-bit sRGB; transparency lies on white; the
// first frame of an animation counts; EXIF orientation is applied.

import sharp, { type OutputInfo, type Sharp } from 'sharp';
import { messageOf } from '../shared/problems.js';
import { withSoundScans } from './jpeg-scans.js';
import { pictureFormats, unreadBytes } from './picture-formats.js';

/** Pixels of the largest picture that is decoded (192 MiB as RGB). */
const maxPicturePixels = 64 * 1024 * 1024;

/** Interleaved 8-bit RGB, row by row: `data` has width * height * 3 bytes. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The picture can't be used; the message says why, for the operator, without naming it. */
export class PictureError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PictureError';
  }
}

/**
 * Opens a picture's first frame, upright, to be read in whole; any damage makes reading fail.
 * Colours become sRGB, or stay the numbers of the picture's own profile.
 */
export function openImage(
  bytes: Uint8Array,
  limitInputPixels: number,
  colours: 'srgb' | 'own' = 'srgb',
): Sharp {
  return sharp(withSoundScans(bytes), {
    ...{ limitInputPixels, failOn: 'warning', pages: 1, autoOrient: true },
    ignoreIcc: colours === 'own',
  });
}

/**
 * Decodes a whole picture; throws `PictureError` for bytes that are no picture, broken,
 * truncated or too large. `sizeOf` may ask for another size, given the picture's own upright
 * size: it is then scaled with a Lanczos3 kernel, without the decoder's shortcuts.
 */
export async function decodePicture(
  bytes: Uint8Array,
  sizeOf: (picture: Size) => Size = (picture) => picture,
): Promise<Pixels> {
  try {
    return await decoding.shared(() => decode(bytes, sizeOf));
  } catch (error) {
    if (error instanceof PictureError) throw error;
  }
  // libvips keeps its complaints in one place for all threads, where another picture's decoding
  // adds to them or clears them: decoded again alone, the picture gets the reason that is its own.
  try {
    return await decoding.alone(() => decode(bytes, sizeOf));
  } catch (error) {
    throw error instanceof PictureError
      ? error
      : new PictureError(decodingFault(error, bytes, maxPicturePixels));
  }
}

/** Work that runs side by side, and work that runs while no other does. */
class Turns {
  private readonly running = new Set<Promise<unknown>>();
  private lastAlone: Promise<unknown> | undefined;

  async shared<T>(work: () => Promise<T>): Promise<T> {
    while (this.lastAlone !== undefined) await this.lastAlone;
    const result = work();
    const ended = result.catch(() => undefined).finally(() => this.running.delete(ended));
    this.running.add(ended);
    return result;
  }

  /** Waits for what runs; what comes later waits for it, in order. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const result = Promise.all([this.lastAlone, ...this.running]).then(work);
    const ended = result
      .catch(() => undefined)
      .finally(() => {
        if (this.lastAlone === ended) this.lastAlone = undefined;
      });
    this.lastAlone = ended;
    return result;
  }
}

const decoding = new Turns();

async function decode(bytes: Uint8Array, sizeOf: (picture: Size) => Size): Promise<Pixels> {
  const image = openImage(bytes, maxPicturePixels);
  const { format, autoOrient: size } = await image.metadata();
  if (!pictureFormats.has(format))
    throw new PictureError(`not a picture: ${format} is not accepted`);
  const wanted = sizeOf(size);
  if (wanted.width * wanted.height > maxPicturePixels)
    throw new PictureError(`larger than ${maxPicturePixels} pixels once it is resized`);
  if (wanted.width !== size.width || wanted.height !== size.height)
    image.resize({ ...wanted, fit: 'fill', kernel: 'lanczos3', fastShrinkOnLoad: false });
  const { data, info } = await image
    .flatten({ background: '#fff' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return { data: toRgb(data, info), width: info.width, height: info.height };
}

/** The decoder answers with three channels; a grey one is spread, so that nothing else can be. */
function toRgb(data: Uint8Array, { width, height, channels }: OutputInfo): Uint8Array {
  if (channels === 3) return data;
  if (channels !== 1) throw new PictureError(`decodes to ${channels} channels`);
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < rgb.length; i++) rgb[i] = data[(i / 3) | 0];
  return rgb;
}

/** Why a picture could not be decoded: the decoder's complaint in one short line. */
export function decodingFault(error: unknown, bytes: Uint8Array, mostPixels: number): string {
  if (bytes.length === 0) return 'zero bytes';
  const unread = unreadBytes(bytes);
  if (unread !== undefined) return unread;
  const text = messageOf(error);
  if (/unsupported image format/.test(text))
    return 'not a picture: its bytes are of no known format';
  if (/pixel limit/.test(text)) return `larger than ${mostPixels} pixels`;
  const lines = text.split('\n').map((line) => line.trim());
  const line = lines.findLast((entry) => entry !== '') ?? 'the decoder gives no reason';
  const kind = /premature end|end of file|unexpected end|insufficient/i.test(text)
    ? 'truncated'
    : 'broken';
  return `${kind}: ${line.slice(0, 160)}`;
}
