// The pictures a person judges a run by. The grid: rows are faces; columns are low resolution,
// bicubic, generated, original, with a label above and a figure below. The history frame: the
// same faces as generated | original | low resolution.

import {
  createPicture,
  drawText,
  enlargeNearest,
  lineHeight,
  paste,
  textWidth,
  type Colour,
  type Picture,
  type TextLook,
} from './picture.js';

/** What is written below a picture: PSNR in decibels, the distance of descriptors. */
interface FaceNote {
  readonly psnr: number;
  readonly identity?: number;
}

/** One face as it was shown to the network, made, and meant; all but `low` of one size. */
export interface FaceResult {
  readonly low: Picture;
  readonly bicubic: Picture;
  readonly generated: Picture;
  readonly original: Picture;
  /** How near the bicubic and the generated picture come to the original. */
  readonly figures: { readonly bicubic: FaceNote; readonly generated: FaceNote };
  /** What other models made of it: columns between bicubic and generated. */
  readonly beside?: readonly {
    readonly name: string;
    readonly picture: Picture;
    readonly figures: FaceNote;
  }[];
}

const paper: Colour = [255, 255, 255];
const ink: Colour = [40, 40, 40];
const accent: Colour = [0, 110, 60];
const gap = 8;

/** A picture in the grid, with what is written below it. */
interface Cell {
  readonly picture: Picture;
  readonly note: string;
  readonly isBetter?: boolean;
}

/** The whole grid; faces are enlarged to about 256 pixels, by a whole factor, pixel by pixel. */
export function gridOf(faces: readonly FaceResult[], name = 'generated'): Picture {
  const largest = Math.max(
    ...faces.map(({ original: { width, height } }) => Math.max(width, height)),
  );
  const factor = Math.max(1, Math.round(256 / largest));
  const others = faces[0]?.beside?.map(({ name }) => name) ?? [];
  const labels = ['low resolution', 'bicubic', ...others, name, 'original'];
  return tableOf(
    labels,
    faces.map((face) => gridRow(face, factor)),
    Math.min(2, factor),
  );
}

function gridRow(face: FaceResult, factor: number): Cell[] {
  const { low, original, figures } = face;
  const { bicubic, generated } = figures;
  const isBetter = generated.psnr > bicubic.psnr;
  const others = (face.beside ?? []).map((other): Cell => ({
    picture: enlargeNearest(other.picture, factor),
    note: noteOf(other.figures),
    isBetter: other.figures.psnr > bicubic.psnr,
  }));
  return [
    { picture: asLargeAs(low, original, factor), note: sizeOf(low) },
    { picture: enlargeNearest(face.bicubic, factor), note: noteOf(bicubic) },
    ...others,
    { picture: enlargeNearest(face.generated, factor), note: noteOf(generated), isBetter },
    { picture: enlargeNearest(original, factor), note: sizeOf(original) },
  ];
}

/** One frame of the history: a row a face, no figures. Its caption is added by the animation. */
export function historyFrame(faces: readonly FaceResult[]): Picture {
  const rows = faces.map((face) => [
    { picture: face.generated, note: '' },
    { picture: face.original, note: '' },
    { picture: asLargeAs(face.low, face.original, 1), note: '' },
  ]);
  return tableOf(['generated', 'original', 'low resolution'], rows, 1);
}

function asLargeAs(low: Picture, original: Picture, factor: number): Picture {
  return enlargeNearest(low, (original.width / low.width) * factor);
}

function sizeOf({ width, height }: Picture): string {
  return `${width}x${height}`;
}

/** "26.31 dB, id 0.032" */
function noteOf({ psnr, identity }: FaceNote): string {
  const decibels = `${psnr.toFixed(2)} dB`;
  return identity === undefined ? decibels : `${decibels}, id ${identity.toFixed(3)}`;
}

function tableOf(
  labels: readonly string[],
  rows: readonly (readonly Cell[])[],
  textSize: number,
): Picture {
  const line = lineHeight * textSize + gap / 2;
  const hasNotes = rows.some((row) => row.some((cell) => cell.note !== ''));
  const widths = labels.map((label, column) =>
    Math.max(textWidth(label) * textSize, ...rows.map((row) => row[column].picture.width)),
  );
  const heights = rows.map((row) => Math.max(...row.map((cell) => cell.picture.height)));
  const rowGap = hasNotes ? line + gap : gap;
  const lefts = startsOf(widths, gap, gap);
  const tops = startsOf(heights, gap + line, rowGap);
  const canvas = createPicture(lefts.end, tops.end, paper);
  const write = (text: string, column: number, y: number, look: TextLook): void => {
    const left = lefts.starts[column];
    const free = widths[column] - textWidth(text) * textSize;
    drawText(canvas, text, { x: left + Math.max(0, free >> 1), y, size: textSize }, look);
  };
  labels.forEach((label, column) => write(label, column, gap, { ink, paper }));
  rows.forEach((row, r) => {
    const top = tops.starts[r];
    row.forEach(({ picture, note, isBetter }, column) => {
      paste(canvas, picture, lefts.starts[column], top);
      const look = { ink: isBetter === true ? accent : ink, paper };
      write(note, column, top + heights[r] + gap / 2, look);
    });
  });
  return canvas;
}

/** Where items of the given extents start, `space` apart, and where the last one's space ends. */
function startsOf(
  extents: readonly number[],
  first: number,
  space: number,
): { readonly starts: readonly number[]; readonly end: number } {
  const starts: number[] = [];
  let next = first;
  for (const extent of extents) {
    starts.push(next);
    next += extent + space;
  }
  return { starts, end: next };
}
