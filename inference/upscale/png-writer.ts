// Writes a PNG row by row (W3C PNG, third edition): 8 or 16 bits a sample, every row filtered by
// Paeth's predictor, so that a picture of any size needs the memory of two rows.

import { once } from 'node:events';
import type { WriteStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { crc32, createDeflate, type Deflate } from 'node:zlib';
import type { Samples } from '../enlarge.js';

/** Samples a pixel: grey, grey and alpha, RGB, RGB and alpha. */
export type PngChannels = 1 | 2 | 3 | 4;

/** A chunk beside the pixels, for example a colour profile. */
export interface PngChunk {
  /** Four letters. */
  readonly type: string;
  readonly data: Uint8Array;
}

/** What a PNG says before its pixels. */
export interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly channels: PngChannels;
  /** Bits a sample. */
  readonly depth: 8 | 16;
  /** Written in this order, before the pixels. */
  readonly chunks: readonly PngChunk[];
}

const colourTypes = { 1: 0, 2: 4, 3: 2, 4: 6 } as const;
const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const paeth = 4;

/** A PNG that is written into an open file, which it owns; closed by `close` or `abort`. */
export class PngWriter {
  private readonly file: WriteStream;
  private readonly deflate: Deflate = createDeflate({ level: 6 });
  private readonly copied: Promise<void>;
  private readonly pixelBytes: number;
  private previous: Uint8Array;
  private rowsLeft: number;

  constructor(
    file: FileHandle,
    private readonly header: PngHeader,
  ) {
    const { width, height, channels, depth, chunks } = header;
    this.file = file.createWriteStream();
    this.pixelBytes = (channels * depth) / 8;
    this.previous = new Uint8Array(width * this.pixelBytes);
    this.rowsLeft = height;
    const fields = Buffer.alloc(13);
    fields.writeUInt32BE(width, 0);
    fields.writeUInt32BE(height, 4);
    fields.set([depth, colourTypes[channels], 0, 0, 0], 8);
    this.file.write(signature);
    for (const { type, data } of [{ type: 'IHDR', data: fields }, ...chunks])
      this.file.write(chunkBytes(type, data));
    this.copied = this.copyCompressed();
    // Looked at in `close`; a failure before that must not end the process.
    this.copied.catch(() => undefined);
  }

  /** Adds rows [rows, width, channels]; resolves when there is room for more. */
  async write(samples: Samples): Promise<void> {
    const rows = bigEndian(samples);
    const length = this.header.width * this.pixelBytes;
    const count = rows.length / length;
    if (!Number.isInteger(count) || count > this.rowsLeft)
      throw new Error(`${rows.length} bytes are not up to ${this.rowsLeft} rows of ${length}`);
    const filtered = Buffer.allocUnsafe(count * (length + 1));
    for (let y = 0; y < count; y++) {
      const row = rows.subarray(y * length, (y + 1) * length);
      filtered[y * (length + 1)] = paeth;
      filterRow(filtered, y * (length + 1) + 1, row, this.previous, this.pixelBytes);
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
      if (!this.file.write(chunkBytes('IDAT', data as Buffer)))
        await Promise.race([once(this.file, 'drain'), written]);
    }
    this.file.end(chunkBytes('IEND', Buffer.alloc(0)));
    await written;
  }
}

function chunkBytes(type: string, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(data.length + 12);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, data.length + 8)), data.length + 8);
  return bytes;
}

/** Samples as PNG has them; every machine of ours is little-endian. */
function bigEndian(samples: Samples): Uint8Array {
  if (samples instanceof Uint8Array) return samples;
  return Buffer.from(samples.buffer.slice(samples.byteOffset, endOf(samples))).swap16();
}

function endOf({ byteOffset, byteLength }: Uint16Array): number {
  return byteOffset + byteLength;
}

/** PNG filter type 4: each byte less Paeth's guess from its left, upper and upper left ones. */
function filterRow(
  into: Uint8Array,
  offset: number,
  row: Uint8Array,
  above: Uint8Array,
  pixelBytes: number,
): void {
  for (let i = 0; i < row.length; i++) {
    const a = i < pixelBytes ? 0 : row[i - pixelBytes];
    const b = above[i];
    const c = i < pixelBytes ? 0 : above[i - pixelBytes];
    const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
    const guess = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    into[offset + i] = row[i] - guess;
  }
}
