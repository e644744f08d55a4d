// Enlarges a picture band by band and tile by tile: what is held at once is a band of the input and
// of the output. Tiles are cores that cover the picture without overlap, each read with a margin of
// pixels that its output depends on, cut off at the picture's own border (where the network pads as
// it does for the whole picture). How the network runs and where pixels lie is handed in.

/** Half-open interval [start, end). */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** One interval of a side: what is kept of it, and what has to be read for that. */
export interface TileSpan {
  readonly core: Span;
  readonly read: Span;
}

/**
 * Cuts a side into as few cores as possible of at most `tile` pixels, of nearly equal length, each
 * read with `margin` pixels more on both sides. A side is cut only when it has to be: one that
 * fits into a core with its margins stays whole.
 */
export function cutSide(length: number, tile: number, margin: number): TileSpan[] {
  const count = length <= tile + 2 * margin ? 1 : Math.ceil(length / tile);
  const border = (i: number) => Math.floor((i * length) / count);
  return Array.from({ length: count }, (_, i) => {
    const core = { start: border(i), end: border(i + 1) };
    return {
      core,
      read: { start: Math.max(0, core.start - margin), end: Math.min(length, core.end + margin) },
    };
  });
}

/** Pixels of a span. */
export function spanLength({ start, end }: Span): number {
  return end - start;
}

/** Samples of 8 or 16 bits. */
export type Samples = Uint8Array | Uint16Array;

/** No samples yet, of the same kind as `samples`. */
export function emptyLike<S extends Samples>(samples: S, length: number): S {
  return (samples instanceof Uint16Array ? new Uint16Array(length) : new Uint8Array(length)) as S;
}

/** The largest value of a sample. */
export function largestOf(samples: Samples): number {
  return samples instanceof Uint16Array ? 65_535 : 255;
}

/** Runs the network on [1, h, w, 3] in [0, 1]; gives [1, scale * h, scale * w, 3] in [-1, 1]. */
export type Network = (
  pixels: Float32Array,
  height: number,
  width: number,
) => Promise<Float32Array>;

/** One picture to enlarge; its rows are RGB samples [rows, width, 3], as those of the result. */
export interface EnlargeJob<S extends Samples = Uint8Array> {
  readonly width: number;
  readonly height: number;
  readonly scale: number;
  /** Core of a tile, and its margin; in input pixels. */
  readonly tile: number;
  readonly margin: number;
  readonly network: Network;
  readRows(rows: Span): Promise<S>;
  /** Takes the output's rows from top to bottom, with the input rows that they came from. */
  writeRows(rows: S, from: Span): Promise<void>;
  /** Called after each tile. */
  onTile?(done: number, total: number): void;
  /** Looked at before each tile; aborted, the job ends with its reason. */
  readonly signal?: AbortSignal;
}

/** Networks that reflect two pixels at the border need three; a smaller picture is extended. */
const smallestSide = 4;

type TileCounts = Pick<EnlargeJob, 'width' | 'height' | 'tile' | 'margin'>;

/** Number of tiles of a job. */
export function countTiles({ width, height, tile, margin }: TileCounts): number {
  return cutSide(width, tile, margin).length * cutSide(height, tile, margin).length;
}

/** Enlarges the whole picture. */
export async function enlarge<S extends Samples>(job: EnlargeJob<S>): Promise<void> {
  const { width, height, scale, tile, margin } = job;
  const [bands, columns] = [cutSide(height, tile, margin), cutSide(width, tile, margin)];
  let done = 0;
  for (const band of bands) {
    const rows = await job.readRows(band.read);
    const output = emptyLike(rows, spanLength(band.core) * scale * width * scale * 3);
    for (const column of columns) {
      job.signal?.throwIfAborted();
      const pixels = cutOut(rows, width, band.read, column.read);
      const [tileHeight, tileWidth] = [spanLength(band.read), spanLength(column.read)];
      const generated = await runExtended(job.network, scale, pixels, tileHeight, tileWidth);
      pasteCore(output, generated, job, band, column);
      job.onTile?.(++done, bands.length * columns.length);
    }
    await job.writeRows(output, band.core);
  }
}

/** The columns of rows as the network wants them, in [0, 1]. */
function cutOut(rows: Samples, width: number, band: Span, column: Span): Float32Array {
  const [height, columns] = [spanLength(band), spanLength(column)];
  const pixels = new Float32Array(height * columns * 3);
  const largest = largestOf(rows);
  for (let y = 0; y < height; y++) {
    const from = (y * width + column.start) * 3;
    const to = y * columns * 3;
    for (let i = 0; i < columns * 3; i++) pixels[to + i] = rows[from + i] / largest;
  }
  return pixels;
}

/** Runs the network; pictures below its smallest side are extended by their last pixels first. */
async function runExtended(
  network: Network,
  scale: number,
  pixels: Float32Array,
  height: number,
  width: number,
): Promise<Float32Array> {
  const [tall, wide] = [Math.max(height, smallestSide), Math.max(width, smallestSide)];
  if (tall === height && wide === width) return network(pixels, height, width);
  const extended = new Float32Array(tall * wide * 3);
  for (let y = 0; y < tall; y++)
    for (let x = 0; x < wide; x++)
      for (let c = 0; c < 3; c++) {
        const from = Math.min(y, height - 1) * width + Math.min(x, width - 1);
        extended[(y * wide + x) * 3 + c] = pixels[from * 3 + c];
      }
  const generated = await network(extended, tall, wide);
  const kept = new Float32Array(height * width * scale * scale * 3);
  const [rowLength, keptLength] = [wide * scale * 3, width * scale * 3];
  for (let y = 0; y < height * scale; y++)
    kept.set(generated.subarray(y * rowLength, y * rowLength + keptLength), y * keptLength);
  return kept;
}

/** Copies the core of a generated tile into the band's output. */
function pasteCore(
  output: Samples,
  generated: Float32Array,
  { width, scale }: Pick<EnlargeJob, 'width' | 'scale'>,
  band: TileSpan,
  column: TileSpan,
): void {
  const tileRow = spanLength(column.read) * scale * 3;
  const top = (band.core.start - band.read.start) * scale;
  const left = (column.core.start - column.read.start) * scale * 3;
  const length = spanLength(column.core) * scale * 3;
  const largest = largestOf(output);
  for (let y = 0; y < spanLength(band.core) * scale; y++) {
    const from = (top + y) * tileRow + left;
    const to = (y * width + column.core.start) * scale * 3;
    for (let i = 0; i < length; i++) output[to + i] = toSample(generated[from + i], largest);
  }
}

/** [-1, 1] to 0..largest, rounded and clamped. */
function toSample(value: number, largest: number): number {
  return Math.min(largest, Math.max(0, Math.round(((value + 1) * largest) / 2)));
}
