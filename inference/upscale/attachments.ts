// What goes with a picture beside its pixels, and stays with it when it is enlarged: the colour
// profile, EXIF, XMP and the resolution. The enlarged picture is upright and has a size of its own,
// so EXIF and XMP are mended where they say otherwise; all else in them stays to the byte.
// EXIF: CIPA DC-008, sections 4.6.2 (structure), 4.6.4 and 4.6.5 (tags).

import { deflateSync } from 'node:zlib';
import type { Metadata } from 'sharp';
import type { PngChunk } from './png-writer.js';

/** Size of a picture in pixels. */
interface PixelSize {
  readonly width: number;
  readonly height: number;
}

/** Larger ones are left out: a decoder of PNG refuses them, and EXIF has no room in a JPEG. */
const limits = { icc: 4 * 2 ** 20, exif: 65_000, xmp: 4 * 2 ** 20 } as const;

/** The attachments as chunks of a PNG, for an upright picture of that size. */
export function attachmentChunks(metadata: Metadata, keepsProfile: boolean, size: PixelSize) {
  const { icc, exif, xmp, density } = metadata;
  const chunks: PngChunk[] = [];
  if (keepsProfile && icc !== undefined && icc.length <= limits.icc)
    chunks.push({ type: 'iCCP', data: Buffer.concat([Buffer.from('icc\0\0'), deflateSync(icc)]) });
  if (density !== undefined) chunks.push({ type: 'pHYs', data: resolution(density) });
  const mended = exif && exif.length <= limits.exif ? uprightExif(exif, size) : undefined;
  if (mended !== undefined) chunks.push({ type: 'eXIf', data: mended });
  if (xmp !== undefined && xmp.length <= limits.xmp)
    chunks.push({ type: 'iTXt', data: Buffer.concat([xmpKeyword, uprightXmp(xmp)]) });
  return chunks;
}

/** Keyword, no compression, no language. */
const xmpKeyword = Buffer.from('XML:com.adobe.xmp\0\0\0\0\0', 'latin1');

/** pHYs: pixels a metre, across and down. */
function resolution(dotsPerInch: number): Buffer {
  const data = Buffer.alloc(9);
  const perMetre = Math.min(2 ** 31 - 1, Math.round(dotsPerInch / 0.0254));
  data.writeUInt32BE(perMetre, 0);
  data.writeUInt32BE(perMetre, 4);
  data[8] = 1;
  return data;
}

function uprightXmp(xmp: Buffer): Buffer {
  const text = xmp.toString('latin1');
  const upright = text.replace(/(tiff:Orientation(?:\s*=\s*["']|>))[1-8]/g, '$11');
  return Buffer.from(upright, 'latin1');
}

const tags = { orientation: 0x0112, exifFolder: 0x8769, width: 0xa002, height: 0xa003 } as const;
const types = { short: 3, long: 4 } as const;
const mostEntries = 4096;

/**
 * EXIF of an upright picture of that size, without its thumbnail, in the form of a PNG (which has
 * no "Exif" before it); undefined where it is broken, since it might say that the picture lies.
 */
export function uprightExif(exif: Uint8Array, size: PixelSize): Buffer | undefined {
  const whole = Buffer.from(exif);
  const tiff = whole.toString('latin1', 0, 6) === 'Exif\0\0' ? whole.subarray(6) : whole;
  try {
    return mend(tiff, size);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** A RangeError where an offset leads out of the block. */
function mend(tiff: Buffer, size: PixelSize): Buffer | undefined {
  const order = tiff.toString('latin1', 0, 2);
  if (order !== 'II' && order !== 'MM') return undefined;
  const fields = fieldsOf(tiff, order === 'II');
  if (fields.read(2, types.short) !== 42) return undefined;
  const first = fields.read(4, types.long);
  const end = first + 2 + 12 * mendFolder(first, { [tags.orientation]: 1 });
  // The second folder is the thumbnail's, which shows the picture as it lay.
  fields.write(end, types.long, 0);
  return tiff;

  /** Sets numbers by tag in a folder, and in the one of EXIF's own below it; its entries. */
  function mendFolder(start: number, numbers: Readonly<Record<number, number>>): number {
    const count = fields.read(start, types.short);
    if (count > mostEntries) throw new RangeError(`${count} entries`);
    for (let at = start + 2; at < start + 2 + 12 * count; at += 12) {
      const [tag, type] = [fields.read(at, types.short), fields.read(at + 2, types.short)];
      const value = numbers[tag];
      if (value !== undefined) fields.write(at + 8, type, value);
      // Only the first folder has one.
      else if (tag === tags.exifFolder && tags.orientation in numbers)
        mendFolder(fields.read(at + 8, types.long), {
          [tags.width]: size.width,
          [tags.height]: size.height,
        });
    }
    return count;
  }
}

function fieldsOf(tiff: Buffer, isLittle: boolean) {
  return {
    read: (at: number, type: number): number => {
      if (type === types.short) return isLittle ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at);
      return isLittle ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at);
    },
    /** A number of another type, or one that its type has no room for, is left as it is. */
    write: (at: number, type: number, value: number): void => {
      if (type === types.short && value < 65_536)
        if (isLittle) tiff.writeUInt16LE(value, at);
        else tiff.writeUInt16BE(value, at);
      else if (type === types.long)
        if (isLittle) tiff.writeUInt32LE(value, at);
        else tiff.writeUInt32BE(value, at);
    },
  };
}
