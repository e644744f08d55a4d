// Upscales one picture: enlarges it tile by tile, writes a PNG on the way and, for another format
// or size, converts that at the end. The output appears under its name only when it is whole.

import sharp, { type Sharp } from 'sharp';
import { OperatorError } from '../../shared/problems.js';
import { countTiles, emptyLike, enlarge, type Samples, type Span } from '../enlarge.js';
import type { LoadedNetwork } from '../onnx-network.js';
import {
  createPartialFile,
  outputProblem,
  type OutputPlace,
  type PartialFile,
  writing,
} from '../output-file.js';
import { attachmentChunks } from './attachments.js';
import { backdropRadius } from './backdrop.js';
import {
  converted,
  type OutputForm,
  type PixelSides,
  qualityProblem,
  sizeProblem,
} from './output-format.js';
import {
  openPicture,
  type PictureBytes,
  type PictureFile,
  rawSamples,
  spaceOf,
} from './picture-file.js';
import { PngWriter, type PngChannels } from './png-writer.js';

/** One picture to upscale. */
export interface UpscaleJob {
  readonly network: LoadedNetwork;
  readonly input: PictureBytes;
  readonly place: OutputPlace;
  /** Given what the picture is read as ("jpeg", in libvips' words). */
  form(read: string): OutputForm;
  /** Core of a tile, a side, in input pixels. */
  readonly tile: number;
  /** Called after each tile. */
  onTile?(done: number, total: number): void;
  /** Aborted, the work ends at the next tile with its reason, and leaves nothing behind. */
  readonly signal?: AbortSignal | undefined;
}

/** What was written. */
export interface UpscaleResult extends PixelSides {
  readonly tiles: number;
}

/** Input rows around a band that the enlargement of its transparency looks at. */
const alphaMargin = 4;

/** Upscales one picture; an OperatorError for a picture or output that cannot be used. */
export async function upscalePicture(job: UpscaleJob): Promise<UpscaleResult> {
  const inTheWay = await outputProblem(job.place);
  if (inTheWay !== undefined) throw new OperatorError(cannotWrite, [inTheWay]);
  const picture = await openPicture(job.input);
  const form = job.form(picture.metadata.format);
  const { scale } = job.network.metadata;
  const wanted = scaled(picture, form.scale ?? scale);
  const problems = [qualityProblem(form), sizeProblem(form.format, wanted)];
  const found = problems.filter((problem) => problem !== undefined);
  if (found.length > 0) throw new OperatorError(cannotWrite, found);
  const partial = await createPartialFile(job.place);
  try {
    const tiles = await writing(job.place, async () => {
      const tiles = await writePng(job, picture, partial, wanted);
      const png = { path: partial.path, size: scaled(picture, scale), picture };
      const image = converted(png, form, wanted);
      if (image === undefined) await partial.publish();
      else await writeConverted(image, job.place);
      return tiles;
    });
    return { ...wanted, tiles };
  } finally {
    await partial.discard();
  }
}

const cannotWrite = 'the output cannot be written';

function scaled({ width, height }: PixelSides, scale: number): PixelSides {
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
}

/** Writes the picture as the network makes it; gives the number of tiles. */
async function writePng(
  { network, tile, onTile, signal }: UpscaleJob,
  picture: PictureFile,
  { handle }: PartialFile,
  wanted: PixelSides,
): Promise<number> {
  const { scale, radius } = network.metadata;
  const { width, height, depth, isGrey, hasAlpha, metadata, hasOwnColours } = picture;
  const margin = hasAlpha ? radius + backdropRadius : radius;
  const job = { width, height, scale, tile, margin };
  const png = new PngWriter(handle, {
    ...{ ...scaled(picture, scale), depth },
    channels: ((isGrey ? 1 : 3) + (hasAlpha ? 1 : 0)) as PngChannels,
    chunks: attachmentChunks(metadata, hasOwnColours, wanted),
  });
  try {
    await enlarge<Samples>({
      ...job,
      network: network.runInPlace,
      readRows: (rows) => picture.readColours(rows),
      writeRows: async (rows, from) => png.write(await finishRows(rows, from, picture, scale)),
      ...(onTile === undefined ? {} : { onTile }),
      ...(signal === undefined ? {} : { signal }),
    });
    await png.close();
  } catch (error) {
    png.abort();
    throw error;
  }
  return countTiles(job);
}

/** RGB rows as the output wants them: grey where the input was, with transparency where it had. */
async function finishRows(
  rows: Samples,
  from: Span,
  picture: PictureFile,
  scale: number,
): Promise<Samples> {
  const pixels = rows.length / 3;
  const colours = picture.isGrey ? 1 : 3;
  if (colours === 3 && !picture.hasAlpha) return rows;
  const alpha = picture.hasAlpha ? await enlargeAlpha(from, picture, scale) : undefined;
  const channels = colours + (alpha === undefined ? 0 : 1);
  const finished = emptyLike(rows, pixels * channels);
  for (let i = 0; i < pixels; i++) {
    if (colours === 1) {
      const sum = rows[3 * i] + rows[3 * i + 1] + rows[3 * i + 2];
      finished[i * channels] = Math.round(sum / 3);
    } else for (let c = 0; c < 3; c++) finished[i * channels + c] = rows[3 * i + c];
    if (alpha !== undefined) finished[i * channels + colours] = alpha[i];
  }
  return finished;
}

/** The band's alpha channel, enlarged bicubically: the generator was trained without one. */
async function enlargeAlpha(
  band: Span,
  { width, height, depth, readAlpha }: PictureFile,
  scale: number,
): Promise<Samples> {
  const start = Math.max(0, band.start - alphaMargin);
  const end = Math.min(height, band.end + alphaMargin);
  const raw = { width, height: end - start, channels: 1 } as const;
  const image = sharp(await readAlpha({ start, end }), { raw })
    .resize(width * scale, (end - start) * scale, { kernel: 'cubic', fit: 'fill' })
    .toColourspace(spaceOf(true, depth));
  const row = width * scale;
  const enlarged = await rawSamples(image, depth, row * (end - start) * scale);
  return enlarged.subarray((band.start - start) * scale * row, (band.end - start) * scale * row);
}

async function writeConverted(image: Sharp, place: OutputPlace): Promise<void> {
  const file = await createPartialFile(place);
  try {
    await file.handle.close();
    await image.toFile(file.path);
    await file.publish();
  } finally {
    await file.discard();
  }
}
