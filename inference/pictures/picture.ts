// A picture in memory: 8-bit RGB, row by row. Here it is made from a network's floats, cut,
// enlarged, put on a canvas and written on. The letters are our own: a machine without any font
// (most containers) labels its pictures too, and the same text gives the same bytes everywhere.

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

/** Height of a line of text at size 1, in pixels. */
export const lineHeight = 8;

// The common 5x7 letters of dot matrix displays: a letter is a list of columns, two hexadecimal
// digits each, whose lowest bit is the top row and whose eighth row lies below the base line.
// prettier-ignore
const letters: Readonly<Record<string, string>> = {
  a: '2054545478', b: '7f28444438', c: '3844444428', d: '384444287f', e: '3854545418',
  f: '087e0902', g: '18a4a49c78', h: '7f08040478', i: '447d40', j: '2040403d',
  k: '7f102844', l: '417f40', m: '7c04780478', n: '7c08040478', o: '3844444438',
  p: 'fc18242418', q: '18242418fc', r: '7c08040408', s: '4854545424', t: '04043f4424',
  u: '3c4040207c', v: '1c2040201c', w: '3c4030403c', x: '4428102844', y: '4c9090907c',
  z: '4464544c44', B: '7f49494936', M: '7f021c027f', N: '7f0408107f', P: '7f09090906',
  R: '7f09192946', S: '2649494932', I: '417f41', ' ': '000000', '.': '6060', ',': '807030',
  ':': '14', '/': '2010080402', '-': '0808080808', '+': '08083e0808', '|': '77',
  '(': '1c2241', ')': '41221c', '%': '2313086462', '0': '3e5149453e', '1': '427f40',
  '2': '7249494946', '3': '2141494d33', '4': '1814127f10', '5': '2745454539',
  '6': '3c4a494931', '7': '4121110907', '8': '3649494936', '9': '464949291e',
};

const unknown = '7f4141417f';

/** Width of a text at size 1, in pixels. */
export function textWidth(text: string): number {
  return [...text].reduce((width, letter) => width + columnsOf(letter).length + 1, -1);
}

/** Where a line of text goes: its top left corner, and the size of a dot in pixels. */
export interface TextPlace {
  readonly x: number;
  readonly y: number;
  readonly size: number;
}

/** Draws one line of text, cut where the canvas ends; unknown letters become boxes. */
export function drawText(canvas: Picture, text: string, place: TextPlace, look: TextLook): void {
  if (text === '') return;
  const line = createPicture(textWidth(text), lineHeight, look.paper);
  let left = 0;
  for (const letter of text) {
    for (const bits of columnsOf(letter)) drawColumn(line, left++, bits, look.ink);
    left++;
  }
  const written = enlargeNearest(line, place.size);
  const width = Math.min(written.width, canvas.width - place.x);
  const height = Math.min(written.height, canvas.height - place.y);
  if (width > 0 && height > 0) paste(canvas, topLeft(written, width, height), place.x, place.y);
}

export interface TextLook {
  readonly ink: Colour;
  readonly paper: Colour;
}

function columnsOf(letter: string): readonly number[] {
  const columns = (letters[letter] ?? unknown).match(/../g) ?? [];
  return columns.map((digits) => Number.parseInt(digits, 16));
}

function drawColumn(line: Picture, x: number, bits: number, ink: Colour): void {
  for (let y = 0; y < lineHeight; y++)
    if ((bits & (1 << y)) !== 0) line.data.set(ink, (y * line.width + x) * 3);
}
