// A picture with transparency as an opaque one that a generator can enlarge. What lies under
// transparent pixels is often black, and would bleed into what is seen: a dark fringe. So the
// picture is laid on a backdrop of its own colours: premultiplied ones, averaged over a window, and
// divided by the same average of the transparency.

import { emptyLike, largestOf, type Samples } from '../enlarge.js';

/** Pixels around a pixel that its backdrop is made of. */
export const backdropRadius = 8;

/** Rows of one picture, [rows, width, channels]; alpha is the last channel. */
export interface RowsWithAlpha<S extends Samples> {
  readonly samples: S;
  readonly width: number;
  readonly channels: 2 | 4;
}

/**
 * The colours [rows, width, channels - 1] on their backdrop. Pixels beyond the rows count as
 * transparent. Sums are of whole numbers, so exact: bands that overlap by the radius agree.
 */
export function onBackdrop<S extends Samples>({ samples, width, channels }: RowsWithAlpha<S>): S {
  const height = samples.length / (width * channels);
  const colours = channels - 1;
  const most = largestOf(samples);
  const result = emptyLike(samples, height * width * colours);
  // Of each column: alpha times colour, summed over the window's rows, then alpha alone.
  const columns = new Float64Array(width * channels);
  for (let y = -backdropRadius; y < height; y++) {
    addRow(columns, samples, width, channels, y + backdropRadius, 1);
    if (y < 0) continue;
    addRow(columns, samples, width, channels, y - backdropRadius - 1, -1);
    const window = new Float64Array(channels);
    const slide = (x: number, sign: number): void => {
      if (x < 0 || x >= width) return;
      for (let c = 0; c < channels; c++) window[c] += sign * columns[x * channels + c];
    };
    for (let x = 0; x < backdropRadius; x++) slide(x, 1);
    for (let x = 0; x < width; x++) {
      slide(x + backdropRadius, 1);
      slide(x - backdropRadius - 1, -1);
      const pixel = y * width + x;
      const alpha = samples[pixel * channels + colours];
      for (let c = 0; c < colours; c++) {
        const own = samples[pixel * channels + c];
        const around = window[colours] > 0 ? window[c] / window[colours] : own;
        result[pixel * colours + c] = Math.round((alpha * own + (most - alpha) * around) / most);
      }
    }
  }
  return result;
}

/** Adds a row of the picture, if it has that row, to the sums of the columns, or takes it away. */
function addRow(
  columns: Float64Array,
  samples: Samples,
  width: number,
  channels: number,
  y: number,
  sign: number,
): void {
  const start = y * width * channels;
  if (y < 0 || start >= samples.length) return;
  for (let i = 0; i < width * channels; i += channels) {
    const alpha = samples[start + i + channels - 1];
    for (let c = 0; c < channels - 1; c++) columns[i + c] += sign * alpha * samples[start + i + c];
    columns[i + channels - 1] += sign * alpha;
  }
}
