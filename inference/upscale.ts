// Upscales a picture file with an exported generator: opens both, enlarges tile by tile, writes a
// PNG on the way and, for another format, converts that at the end. The output appears under its
// name only when it is whole.

import { extname } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { OperatorError, type Problem } from '../shared/problems.js';
import { countTiles, enlarge, type Rows, type Span } from './enlarge.js';
import { loadNetwork, type LoadedNetwork } from './onnx-network.js';
import {
  createPartialFile,
  outputProblem,
  type OutputPlace,
  type PartialFile,
  writing,
} from './output-file.js';
import { openPicture, PngWriter, type PictureFile, type PngChannels } from './picture-file.js';

export interface UpscaleOptions {
  readonly model: string;
  readonly input: string;
  readonly output: string;
  /** Core of a tile, a side, in input pixels. */
  readonly tile: number;
  readonly threads: number;
  /** Replaces an output that exists. */
  readonly isForced: boolean;
  /** Called after each tile. */
  onTile?(done: number, total: number): void;
  /** Aborted, the work ends at the next tile with its reason, and leaves nothing behind. */
  readonly signal?: AbortSignal;
}

export interface UpscaleResult {
  /** Pixels of the output. */
  readonly width: number;
  readonly height: number;
  readonly tiles: number;
}

interface OutputFormat {
  readonly largestSide: number;
  /**
   * What becomes of the finished PNG, whose pixels are that many bytes; undefined where the PNG
   * is the output.
   */
  readonly convert?: (png: Sharp, bytes: number) => Sharp;
}

/** Offsets in a plain TIFF end at 4 GiB, and LZW may make noise a little larger. */
const largestTiff = 2 ** 31;

const jpeg: OutputFormat = {
  largestSide: 65_535,
  // It has no transparency.
  convert: (png) => png.flatten({ background: '#fff' }).jpeg({ quality: 95 }),
};
const tiff: OutputFormat = {
  largestSide: 2 ** 31 - 1,
  // Lossless.
  convert: (png, bytes) =>
    png.tiff({ compression: 'lzw', predictor: 'horizontal', bigtiff: bytes > largestTiff }),
};

/** Output formats by the name's ending. */
const outputFormats: Readonly<Record<string, OutputFormat>> = {
  '.png': { largestSide: 2 ** 31 - 1 },
  '.jpg': jpeg,
  '.jpeg': jpeg,
  '.webp': { largestSide: 16_383, convert: (png) => png.webp({ quality: 95 }) },
  '.avif': { largestSide: 16_384, convert: (png) => png.avif({ quality: 80 }) },
  '.tif': tiff,
  '.tiff': tiff,
};

/** Input rows around a band that the enlargement of its transparency looks at. */
const alphaMargin = 4;

/** Upscales one picture; an OperatorError for a model, picture or output that cannot be used. */
export async function upscale(options: UpscaleOptions): Promise<UpscaleResult> {
  await checkOutput(options);
  const network = await loadNetwork(options.model, options.threads);
  try {
    const picture = await openPicture(options.input);
    checkSize(options.output, picture, network.metadata.scale);
    return await write(options, network, picture);
  } finally {
    await network.close();
  }
}

async function write(
  options: UpscaleOptions,
  { metadata, run }: LoadedNetwork,
  picture: PictureFile,
): Promise<UpscaleResult> {
  const { scale, radius: margin } = metadata;
  const { tile, onTile, signal } = options;
  const [width, height] = [picture.width * scale, picture.height * scale];
  const channels = ((picture.isGrey ? 1 : 3) + (picture.hasAlpha ? 1 : 0)) as PngChannels;
  const place = placeOf(options);
  const partial = await createPartialFile(place);
  const png = new PngWriter(partial.handle, width, height, channels);
  const job = { width: picture.width, height: picture.height, scale, tile, margin };
  try {
    await writing(place, async () => {
      await enlarge({
        ...job,
        network: run,
        readRows: (rows) => picture.readColours(rows),
        writeRows: async (rows, from) => png.write(await finishRows(rows, from, picture, scale)),
        ...(onTile === undefined ? {} : { onTile }),
        ...(signal === undefined ? {} : { signal }),
      });
      await png.close();
      await finishFile(partial, place, width * height * channels);
    });
  } catch (error) {
    png.abort();
    throw error;
  } finally {
    await partial.discard();
  }
  return { width, height, tiles: countTiles(job) };
}

/** RGB rows as the output wants them: grey where the input was, with transparency where it had. */
async function finishRows(
  rows: Rows,
  from: Span,
  picture: PictureFile,
  scale: number,
): Promise<Uint8Array> {
  const pixels = rows.length / 3;
  const colours = picture.isGrey ? 1 : 3;
  if (colours === 3 && !picture.hasAlpha) return rows;
  const alpha = picture.hasAlpha ? await enlargeAlpha(from, picture, scale) : undefined;
  const channels = colours + (alpha === undefined ? 0 : 1);
  const finished = new Uint8Array(pixels * channels);
  for (let i = 0; i < pixels; i++) {
    const [red, green, blue] = [rows[3 * i], rows[3 * i + 1], rows[3 * i + 2]];
    if (colours === 1) finished[i * channels] = Math.round((red + green + blue) / 3);
    else finished.set([red, green, blue], i * channels);
    if (alpha !== undefined) finished[i * channels + colours] = alpha[i];
  }
  return finished;
}

/** The band's alpha channel, enlarged bicubically: the generator was trained without one. */
async function enlargeAlpha(
  band: Span,
  { width, height, readAlpha }: PictureFile,
  scale: number,
): Promise<Uint8Array> {
  const start = Math.max(0, band.start - alphaMargin);
  const end = Math.min(height, band.end + alphaMargin);
  const raw = { width, height: end - start, channels: 1 } as const;
  const enlarged = await sharp(await readAlpha({ start, end }), { raw })
    .resize(width * scale, (end - start) * scale, { kernel: 'cubic', fit: 'fill' })
    .extractChannel(0)
    .raw()
    .toBuffer();
  const row = width * scale;
  return enlarged.subarray((band.start - start) * scale * row, (band.end - start) * scale * row);
}

/** The finished PNG under the output's name, converted where its ending asks for that. */
async function finishFile(png: PartialFile, place: OutputPlace, bytes: number): Promise<void> {
  const { convert } = formatOf(place.path);
  if (convert === undefined) return png.publish();
  const converted = await createPartialFile(place);
  try {
    const image = sharp(png.path, { limitInputPixels: false, sequentialRead: true });
    await converted.handle.close();
    await convert(image, bytes).toFile(converted.path);
    await converted.publish();
  } finally {
    await converted.discard();
  }
}

function placeOf({ output, isForced }: UpscaleOptions): OutputPlace {
  return { path: output, isForced, key: 'output' };
}

function endingOf(output: string): string {
  return extname(output).toLowerCase();
}

function formatOf(output: string): OutputFormat {
  return outputFormats[endingOf(output)];
}

async function checkOutput(options: UpscaleOptions): Promise<void> {
  const { output } = options;
  const problems: Problem[] = [];
  const allowed = `a name that ends in ${Object.keys(outputFormats).join(', ')}`;
  if (!Object.hasOwn(outputFormats, endingOf(output)))
    problems.push({ key: 'output', given: output, allowed });
  const inTheWay = await outputProblem(placeOf(options));
  if (inTheWay !== undefined) problems.push(inTheWay);
  if (problems.length > 0) throw new OperatorError('the output cannot be written', problems);
}

function checkSize(output: string, { width, height }: PictureFile, scale: number): void {
  const { largestSide } = formatOf(output);
  if (Math.max(width, height) * scale <= largestSide) return;
  throw new OperatorError('the output would be too large for its format', [
    {
      key: 'output',
      given: `${width * scale}x${height * scale}`,
      allowed: `sides of at most ${largestSide} pixels`,
      hint: 'a .png has no such limit',
    },
  ]);
}
