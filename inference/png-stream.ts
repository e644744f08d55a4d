// Writes a PNG file row by row, so that a picture of any size needs the memory of a few rows.
// Format: W3C PNG, third edition; every row is filtered by Paeth's predictor.

import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { crc32, createDeflate, type Deflate } from 'node:zlib';

/** 8-bit samples a pixel: grey, grey and alpha, RGB, RGB and alpha. */
export type PngChannels = 1 | 2 | 3 | 4;

const colourTypes = { 1: 0, 2: 4, 3: 2, 4: 6 } as const;
const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const paeth = 4;

/** A PNG file that is being written; owns the file until `close` or `abort`. */
export class PngWriter {
  private readonly file: WriteStream;
  private readonly deflate: Deflate = createDeflate({ level: 6 });
  private readonly copied: Promise<void>;
  private previous: Uint8Array;
  private rowsLeft: number;

  constructor(
    path: string,
    private readonly width: number,
    height: number,
    private readonly channels: PngChannels,
  ) {
    this.file = createWriteStream(path, { flags: 'wx' });
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
