// Pictures as files: one as a PNG; the history of a run as an animated GIF, which every viewer
// shows, one frame a sample picture with the step as its caption.

import sharp from 'sharp';
import { createPicture, drawText, lineHeight, paste, type Picture } from './picture.js';

/** The picture as a PNG file. */
export async function encodePng(picture: Picture): Promise<Buffer> {
  const { width, height, data } = picture;
  return await sharp(data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 9 })
    .toBuffer();
}

/** A picture of the history and the step it was taken at. */
export interface HistoryFrame {
  readonly step: number;
  readonly picture: Picture;
}

/** Frames of an animation at most. */
export const mostFrames = 48;

const frameMs = 250;
const lastFrameMs = 2500;
const caption = { x: 8, y: 4, size: 2 };
const captionHeight = lineHeight * caption.size + 2 * caption.y;

/** At most `most` of the items, evenly spread; the first and the last are always among them. */
export function thinOut<T>(items: readonly T[], most: number): T[] {
  if (items.length <= most) return [...items];
  if (most <= 1) return items.slice(-1);
  const apart = (items.length - 1) / (most - 1);
  const kept = new Set(Array.from({ length: most }, (_, i) => Math.round(i * apart)));
  return items.filter((_, index) => kept.has(index));
}

/** The animation, in the order of the frames given, all of one size; it rests on the last. */
export async function encodeHistory(frames: readonly HistoryFrame[]): Promise<Buffer> {
  const kept = thinOut(frames, mostFrames).map(captioned);
  const first = kept[0];
  if (first === undefined) throw new Error('an animation needs a frame');
  if (kept.some(({ width, height }) => width !== first.width || height !== first.height))
    throw new Error('the frames of an animation must be of one size');
  const { width, height: pageHeight } = first;
  const film = Buffer.concat(kept.map((picture) => picture.data));
  const raw = { width, height: pageHeight * kept.length, channels: 3 as const, pageHeight };
  const delay = kept.map((_, i) => (i === kept.length - 1 ? lastFrameMs : frameMs));
  return await sharp(film, { raw, limitInputPixels: false })
    .gif({ delay, loop: 0, effort: 3, dither: 0.5 })
    .toBuffer();
}

function captioned({ step, picture }: HistoryFrame): Picture {
  const { width, height } = picture;
  const canvas = createPicture(width, height + captionHeight, [255, 255, 255]);
  drawText(canvas, `step ${step}`, caption, { ink: [40, 40, 40], paper: [255, 255, 255] });
  paste(canvas, picture, 0, captionHeight);
  return canvas;
}
