// Bicubic enlargement (Keys 1981, a = -0.5, which is Catmull-Rom), as picture programs do it:
// pixels are squares, so that centres lie half a pixel from the border, and the border's pixels go
// on outside. What the model's picture is compared with, and how transparency is enlarged.

/**
 * RGBA, row by row.
 * @typedef {{ readonly width: number, readonly height: number,
 *   readonly data: Uint8ClampedArray }} Pixels
 */

/** Input rows that are enlarged before the page may do something else. */
const rowsAtOnce = 32;

/**
 * Enlarges RGBA pixels [height, width, 4] by a whole factor. Colours count as much as they can be
 * seen, so that what is transparent leaves no fringe.
 * @param {Pixels} pixels
 * @param {number} scale
 * @returns {Promise<Pixels>}
 */
export async function enlargeBicubic(pixels, scale) {
  const { width, height } = pixels;
  const taps = Array.from({ length: scale }, (_, phase) => tapsOf(phase, scale));
  const data = new Uint8ClampedArray(width * height * scale * scale * 4);
  /** Rows of the input, enlarged to the side; only those that are looked at again are kept.
   * @type {Map<number, Float32Array>} */
  const wide = new Map();
  for (let y = 0; y < height; y++) {
    wide.delete(y - 3);
    for (const { first, weights } of taps) {
      for (let i = 0; i < weights.length; i++) {
        const row = clamp(y + first + i, height);
        if (!wide.has(row)) wide.set(row, enlargeRow(pixels, row, taps));
      }
    }
    for (let phase = 0; phase < scale; phase++) {
      const { first, weights } = taps[phase];
      const rows = weights.map((_, i) => wide.get(clamp(y + first + i, height)));
      writeRow(data, (y * scale + phase) * width * scale * 4, /** @type {any} */ (rows), weights);
    }
    if (y % rowsAtOnce === rowsAtOnce - 1) await new Promise((resolve) => setTimeout(resolve));
  }
  return { width: width * scale, height: height * scale, data };
}

/**
 * The four weights of an output pixel at `phase` within its input pixel, and the place of the first
 * beside that pixel.
 * @param {number} phase
 * @param {number} scale
 */
function tapsOf(phase, scale) {
  const at = (phase + 0.5) / scale - 0.5;
  const first = Math.floor(at) - 1;
  const weights = Array.from({ length: 4 }, (_, i) => kernel(Math.abs(at - (first + i))));
  return { first, weights };
}

/** @param {number} x Distance from the centre, at least 0. */
function kernel(x) {
  if (x < 1) return 1.5 * x ** 3 - 2.5 * x ** 2 + 1;
  return x < 2 ? -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2 : 0;
}

/**
 * A row enlarged to the side: floats, the colours times alpha / 255.
 * @param {Pixels} pixels
 * @param {number} y
 * @param {readonly ReturnType<typeof tapsOf>[]} taps
 */
function enlargeRow({ width, data }, y, taps) {
  const row = new Float32Array(width * taps.length * 4);
  for (let x = 0; x < width; x++)
    for (let phase = 0; phase < taps.length; phase++) {
      const { first, weights } = taps[phase];
      const to = (x * taps.length + phase) * 4;
      for (let i = 0; i < weights.length; i++) {
        const from = (y * width + clamp(x + first + i, width)) * 4;
        const alpha = weights[i] * data[from + 3];
        for (let c = 0; c < 3; c++) row[to + c] += (alpha * data[from + c]) / 255;
        row[to + 3] += alpha;
      }
    }
  return row;
}

/**
 * One row of the output as bytes: the weighted sum of four rows, colours as they are without alpha.
 * @param {Uint8ClampedArray} data
 * @param {number} at
 * @param {readonly Float32Array[]} rows
 * @param {readonly number[]} weights
 */
function writeRow(data, at, [a, b, c, d], [p, q, r, s]) {
  for (let i = 0; i < a.length; i += 4) {
    const alpha = p * a[i + 3] + q * b[i + 3] + r * c[i + 3] + s * d[i + 3];
    for (let j = i; j < i + 3; j++)
      data[at + j] = alpha > 0 ? ((p * a[j] + q * b[j] + r * c[j] + s * d[j]) * 255) / alpha : 0;
    data[at + i + 3] = alpha;
  }
}

/**
 * @param {number} place
 * @param {number} length
 */
function clamp(place, length) {
  return Math.min(length - 1, Math.max(0, place));
}
