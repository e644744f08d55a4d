// Picture files of any size, decoded a few rows at a time. Read as 8-bit RGB, upright and in sRGB,
// whatever they hold: grey, CMYK, 16 bits a sample, transparency, an EXIF rotation. Written as PNG
// (W3C PNG, third edition; every row is filtered by Paeth's predictor).

import { once } from 'node:events';
import type { WriteStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { crc32, createDeflate, type Deflate } from 'node:zlib';
import type { Sharp } from 'sharp';
import { decodingFault, openImage } from '../dataset/decode.js';
import { pictureFormats } from '../dataset/picture-formats.js';
import { readRegularFile } from '../shared/local-files.js';
import { messageOf, OperatorError } from '../shared/problems.js';
import { spanLength, type Span } from './enlarge.js';

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

/** Bytes of the largest picture file that is read: the largest that Node reads at once. */
const largestBytes = 2 ** 31 - 1;

/** Opens a picture; an OperatorError says why it cannot be read. */
export async function openPicture(path: string): Promise<PictureFile> {
  const allowed = 'a picture (PNG, JPEG, WebP, TIFF, AVIF or GIF) in a regular file';
  const refusal = (reason: string) =>
    new OperatorError(`the picture cannot be read: ${reason}`, [
      { key: 'input', given: path, allowed },
    ]);
  const bytes = await readRegularFile(path, largestBytes).catch((error: unknown) => {
    throw refusal(messageOf(error));
  });
  return decodeBands(bytes, (error) => refusal(decodingFault(error, bytes, largestPixels)));
}

async function decodeBands(
  bytes: Buffer,
  refusal: (error: unknown) => OperatorError,
): Promise<PictureFile> {
  const refuse = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw refusal(error);
    }
  };
  const open = () => openImage(bytes, largestPixels);
  const known = await refuse(() => open().metadata());
  if (!pictureFormats.has(known.format)) throw refusal(new Error(`${known.format} is not read`));
  const { width, height } = known.autoOrient;
  const isGrey = known.space === 'b-w' || known.space === 'grey16';
  const band = (rows: Span) =>
    open()
      .toColourspace('srgb')
      .extract({ left: 0, top: rows.start, width, height: spanLength(rows) });
  const read = (image: Sharp, rows: Span, channels: number) =>
    refuse(async () => {
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

/** 8-bit samples a pixel: grey, grey and alpha, RGB, RGB and alpha. */
export type PngChannels = 1 | 2 | 3 | 4;

const colourTypes = { 1: 0, 2: 4, 3: 2, 4: 6 } as const;
const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const paeth = 4;

/** A PNG that is written into an open file, which it owns; closed by `close` or `abort`. */
export class PngWriter {
  private readonly file: WriteStream;
  private readonly deflate: Deflate = createDeflate({ level: 6 });
  private readonly copied: Promise<void>;
  private previous: Uint8Array;
  private rowsLeft: number;

  constructor(
    file: FileHandle,
    private readonly width: number,
    height: number,
    private readonly channels: PngChannels,
  ) {
    this.file = file.createWriteStream();
    this.previous = new Uint8Array(width * channels);
    this.rowsLeft = height;
    const header = Buffer.alloc(13);
    header.writeUInt32BE(width, 0);
    header.writeUInt32BE(height, 4);
    header.set([8, colourTypes[channels], 0, 0, 0], 8);
    this.file.write(signature);
    this.file.write(chunk('IHDR', header));
    this.copied = this.copyCompressed();
    // Looked at in `close`; a failure before that must not end the process.
    this.copied.catch(() => undefined);
  }

  /** Adds rows [rows, width, channels]; resolves when there is room for more. */
  async write(rows: Uint8Array): Promise<void> {
    const length = this.width * this.channels;
    const count = rows.length / length;
    if (!Number.isInteger(count) || count > this.rowsLeft)
      throw new Error(`${rows.length} bytes are not up to ${this.rowsLeft} rows of ${length}`);
    const filtered = Buffer.allocUnsafe(count * (length + 1));
    for (let y = 0; y < count; y++) {
      const row = rows.subarray(y * length, (y + 1) * length);
      filtered[y * (length + 1)] = paeth;
      filterRow(filtered, y * (length + 1) + 1, row, this.previous, this.channels);
      this.previous = row;
    }
    this.rowsLeft -= count;
    if (!this.deflate.write(filtered))
      await Promise.race([once(this.deflate, 'drain'), this.copied]);
  }

  /** Finishes the file; all rows must have been written. */
  async close(): Promise<void> {
    if (this.rowsLeft > 0) throw new Error(`${this.rowsLeft} rows are missing`);
    this.deflate.end();
    await this.copied;
  }

  /** Gives up; what was written stays on the disk. */
  abort(): void {
    this.deflate.destroy();
    this.file.destroy();
  }

  private async copyCompressed(): Promise<void> {
    const written = finished(this.file);
    written.catch(() => undefined);
    for await (const data of this.deflate) {
      if (!this.file.write(chunk('IDAT', data as Buffer)))
        await Promise.race([once(this.file, 'drain'), written]);
    }
    this.file.end(chunk('IEND', Buffer.alloc(0)));
    await written;
  }
}

function chunk(type: string, data: Buffer): Buffer {
  const bytes = Buffer.alloc(data.length + 12);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  data.copy(bytes, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, data.length + 8)), data.length + 8);
  return bytes;
}

/** PNG filter type 4: each sample less Paeth's guess from its left, upper and upper left ones. */
function filterRow(
  into: Uint8Array,
  offset: number,
  row: Uint8Array,
  above: Uint8Array,
  channels: number,
): void {
  for (let i = 0; i < row.length; i++) {
    const a = i < channels ? 0 : row[i - channels];
    const b = above[i];
    const c = i < channels ? 0 : above[i - channels];
    const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
    const guess = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    into[offset + i] = row[i] - guess;
  }
}
