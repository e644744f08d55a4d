// Bicubic scaling by 4, both ways: the reduction that makes the low resolution, and the
// enlargement that a trained generator has to beat. Arithmetic in doubles, in a fixed order, so
// the bytes are the same everywhere.
// Kernel: R. Keys, "Cubic convolution interpolation for digital image processing" (1981), a=-0.5.

/** The factor between the two resolutions. */
export const scale = 4;

/** Keys' cubic with a = -0.5; zero outside (-2, 2). */
function cubic(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

/** For each output position the first input position it reads, and its weights. */
interface Taps {
  readonly first: Int32Array;
  readonly weights: readonly Float64Array[];
}

const maxTapTables = 64;
const tapTables = new Map<number, Taps>();

/**
 * The taps of the reduction of `length` positions: the kernel stretched by 4, so that it also
 * takes away what the small picture can't hold; at the edges the weights that fall outside are
 * dropped and the others scaled to sum to 1 (as Pillow does; MATLAB mirrors the picture).
 */
function reductionTaps(length: number): Taps {
  const known = tapTables.get(length);
  if (known !== undefined) return known;
  const count = length / scale;
  const first = new Int32Array(count);
  const weights = Array.from({ length: count }, (_, o) => {
    const centre = (o + 0.5) * scale - 0.5;
    const start = Math.max(0, Math.ceil(centre - 2 * scale));
    const end = Math.min(length - 1, Math.floor(centre + 2 * scale));
    const row = Float64Array.from({ length: end - start + 1 }, (_, i) =>
      cubic((start + i - centre) / scale),
    );
    const sum = row.reduce((total, weight) => total + weight, 0);
    first[o] = start;
    return row.map((weight) => weight / sum);
  });
  if (tapTables.size >= maxTapTables) tapTables.clear();
  const taps = { first, weights };
  tapTables.set(length, taps);
  return taps;
}

/** One row of weighted sums: kept between pictures, which saves the allocation. */
let sums = new Float64Array(0);

const unitOf = Float32Array.from({ length: 256 }, (_, v) => v / 255);

/**
 * Reduces 8-bit RGB (`width` and `height` multiples of 4) by 4 in each direction. The result is
 * clamped and rounded to 8 bits, as a low-resolution file would hold it, then divided by 255:
 * height/4 * width/4 * 3 floats in [0, 1], written to `out` from `offset` on.
 */
export function downsampleBicubic(
  pixels: Uint8Array,
  width: number,
  height: number,
  out: Float32Array,
  offset = 0,
): void {
  if (width % scale !== 0 || height % scale !== 0)
    throw new Error(`${width}x${height} is not a multiple of ${scale}`);
  const across = reductionTaps(width);
  const down = reductionTaps(height);
  const stride = width * 3;
  if (sums.length !== stride) sums = new Float64Array(stride);
  for (let y = 0; y < down.weights.length; y++) {
    sumRows(pixels, down.first[y] * stride, down.weights[y], sums);
    reduceRow(sums, across, out, offset + (y * stride) / scale);
  }
}

/** The weighted sum of rows of `pixels`, the first of them at `start`. */
function sumRows(
  pixels: Uint8Array,
  start: number,
  weights: Float64Array,
  sum: Float64Array,
): void {
  const stride = sum.length;
  sum.fill(0);
  // Two rows a turn halve the traffic on `sum`; a line of a multiple of 4 has an even number of
  // taps everywhere. Additions stay in the order of the rows.
  for (let tap = 0; tap < weights.length; tap += 2) {
    const [upper, lower] = [weights[tap], weights[tap + 1]];
    const from = start + tap * stride;
    for (let i = 0, j = from, k = from + stride; i < stride; i++, j++, k++)
      sum[i] = sum[i] + upper * pixels[j] + lower * pixels[k];
  }
}

function reduceRow(row: Float64Array, taps: Taps, out: Float32Array, offset: number): void {
  let at = offset;
  for (let x = 0; x < taps.weights.length; x++) {
    const weights = taps.weights[x];
    let from = taps.first[x] * 3;
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let tap = 0; tap < weights.length; tap++, from += 3) {
      const weight = weights[tap];
      red += weight * row[from];
      green += weight * row[from + 1];
      blue += weight * row[from + 2];
    }
    out[at++] = unitOf[toByte(red)];
    out[at++] = unitOf[toByte(green)];
    out[at++] = unitOf[toByte(blue)];
  }
}

/** Clamps to 0 to 255 and rounds to a whole number, halves up. */
export function toByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
}

/** For each of the four phases of an output position, the weights of its four input positions. */
const enlargingWeights = Array.from({ length: scale }, (_, phase) => {
  const centre = (phase + 0.5) / scale - 0.5;
  const left = Math.floor(centre) - 1;
  return Float64Array.from({ length: 4 }, (_, i) => cubic(left + i - centre));
});

/**
 * Enlarges [height, width, 3] by 4 in each direction: the bicubic picture a generator is compared
 * with. Positions beyond the edge repeat it. Values are clamped to [0, 1], the range of `lr`.
 */
export function upsampleBicubic(lr: Float32Array, width: number, height: number): Float32Array {
  const wide = new Float64Array(height * width * scale * 3);
  for (let y = 0; y < height; y++)
    enlargeLine(lr, y * width * 3, 3, width, wide, y * width * scale * 3);
  const out = new Float64Array(wide.length * scale);
  const stride = width * scale * 3;
  for (let column = 0; column < width * scale; column++)
    enlargeLine(wide, column * 3, stride, height, out, column * 3);
  return Float32Array.from(out, (value) => Math.min(1, Math.max(0, value)));
}

/** Enlarges one row or column of `count` pixels that lie `stride` values apart. */
function enlargeLine(
  source: Float32Array | Float64Array,
  start: number,
  stride: number,
  count: number,
  out: Float64Array,
  outStart: number,
): void {
  for (let position = 0; position < count * scale; position++) {
    const weights = enlargingWeights[position % scale];
    const left = Math.floor((position + 0.5) / scale - 0.5) - 1;
    const to = outStart + position * stride;
    for (let tap = 0; tap < 4; tap++) {
      const from = start + Math.min(count - 1, Math.max(0, left + tap)) * stride;
      const weight = weights[tap];
      for (let c = 0; c < 3; c++) out[to + c] += weight * source[from + c];
    }
  }
}
