// A picture in memory: 8-bit RGB, row by row. Here it is made from a network's floats, cut,
// enlarged and put on a canvas. Files and formats are not known here: see encode.ts.

/** 8-bit RGB pixels, row by row, without padding. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** width * height * 3 bytes. */
  readonly data: Uint8Array;
}

export type Colour = readonly [red: number, green: number, blue: number];

/** Range of a network's values: `unit` is [0, 1] (its input), `signed` is [-1, 1] (its output). */
export type ValueRange = 'unit' | 'signed';

/** A picture of one colour. */
export function createPicture(width: number, height: number, colour: Colour): Picture {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) data[i] = colour[i % 3] ?? 0;
  return { width, height, data };
}

/** Floats [height, width, 3] rounded to 8 bits; what lies outside the range is clipped. */
export function pictureOf(
  values: Float32Array,
  width: number,
  height: number,
  range: ValueRange,
): Picture {
  if (values.length !== width * height * 3)
    throw new Error(`${width}x${height} pixels need ${width * height * 3} values`);
  const scale = range === 'unit' ? 255 : 127.5;
  const shift = range === 'unit' ? 0 : 127.5;
  // Uint8ClampedArray rounds half to even and turns NaN into 0: a diverged net gives black.
  const clamped = Uint8ClampedArray.from(values, (value) => value * scale + shift);
  return { width, height, data: new Uint8Array(clamped.buffer) };
}

/** Each pixel becomes a square of `factor` pixels. */
export function enlargeNearest(picture: Picture, factor: number): Picture {
  if (factor === 1) return picture;
  const width = picture.width * factor;
  const height = picture.height * factor;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / factor) * picture.width;
    for (let x = 0; x < width; x++) {
      const from = (row + Math.floor(x / factor)) * 3;
      data.set(picture.data.subarray(from, from + 3), (y * width + x) * 3);
    }
  }
  return { width, height, data };
}

/** Copies `picture` onto `canvas` with its top left corner at (x, y); it must fit. */
export function paste(canvas: Picture, picture: Picture, x: number, y: number): void {
  if (x < 0 || y < 0 || x + picture.width > canvas.width || y + picture.height > canvas.height)
    throw new Error('the picture does not fit the canvas there');
  const bytes = picture.width * 3;
  for (let row = 0; row < picture.height; row++) {
    const line = picture.data.subarray(row * bytes, (row + 1) * bytes);
    canvas.data.set(line, ((y + row) * canvas.width + x) * 3);
  }
}

/** The part of a picture from its top left corner on; it must not be larger than the picture. */
export function topLeft(picture: Picture, width: number, height: number): Picture {
  if (width > picture.width || height > picture.height)
    throw new Error(`${width}x${height} pixels are more than the picture has`);
  const part = createPicture(width, height, [0, 0, 0]);
  for (let y = 0; y < height; y++) {
    const from = y * picture.width * 3;
    part.data.set(picture.data.subarray(from, from + width * 3), y * width * 3);
  }
  return part;
}
