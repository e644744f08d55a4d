import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createPicture,
  drawText,
  enlargeNearest,
  lineHeight,
  paste,
  pictureOf,
  textWidth,
  type Picture,
} from '../../../inference/pictures/picture.js';

const look = { ink: [0, 0, 0], paper: [255, 255, 255] } as const;

/** One character a pixel: `#` where it is black. */
function drawing({ width, height, data }: Picture): string[] {
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => (data[(y * width + x) * 3] === 0 ? '#' : '.')).join(''),
  );
}

test('floats are rounded to 8 bits and clipped to their range', () => {
  const signed = Float32Array.from([-1, 0, 1, -7, 7, Number.NaN]);
  assert.deepEqual([...pictureOf(signed, 2, 1, 'signed').data], [0, 128, 255, 0, 255, 0]);
  const unit = Float32Array.from([0, 0.5, 1, -0.1, 1.1, 1 / 255]);
  assert.deepEqual([...pictureOf(unit, 1, 2, 'unit').data], [0, 128, 255, 0, 255, 1]);
  assert.throws(() => pictureOf(unit, 2, 2, 'unit'), /2x2 pixels need 12 values/);
});

test('every 8-bit value survives the way to floats and back', () => {
  const bytes = Uint8Array.from({ length: 768 }, (_, i) => i % 256);
  const signed = Float32Array.from(bytes, (value) => value / 127.5 - 1);
  assert.deepEqual(pictureOf(signed, 16, 16, 'signed').data, bytes);
  const unit = Float32Array.from(bytes, (value) => value / 255);
  assert.deepEqual(pictureOf(unit, 16, 16, 'unit').data, bytes);
});

test('nearest enlargement makes squares of pixels', () => {
  const picture = { width: 2, height: 1, data: Uint8Array.from([1, 2, 3, 4, 5, 6]) };
  const row = [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6];
  assert.deepEqual(enlargeNearest(picture, 2), {
    width: 4,
    height: 2,
    data: Uint8Array.from([...row, ...row]),
  });
});

test('a pasted picture lands where it should and must fit', () => {
  const canvas = createPicture(4, 3, [255, 255, 255]);
  paste(canvas, createPicture(2, 1, [0, 0, 0]), 2, 1);
  assert.deepEqual(drawing(canvas), ['....', '..##', '....']);
  assert.throws(() => paste(canvas, createPicture(2, 1, [0, 0, 0]), 3, 1), /does not fit/);
  assert.throws(() => paste(canvas, createPicture(1, 1, [0, 0, 0]), 0, -1), /does not fit/);
});

test('text is drawn letter by letter, in proportional widths', () => {
  const canvas = createPicture(textWidth('1.d'), lineHeight, [255, 255, 255]);
  drawText(canvas, '1.d', { x: 0, y: 0, size: 1 }, look);
  assert.deepEqual(drawing(canvas), [
    '.#.........#',
    '##.........#',
    '.#......##.#',
    '.#.....#..##',
    '.#.....#...#',
    '.#..##.#..##',
    '###.##..##.#',
    '............',
  ]);
});

test('text beyond the canvas is cut', () => {
  const canvas = createPicture(5, 3, [255, 255, 255]);
  drawText(canvas, '111', { x: 1, y: 1, size: 1 }, look);
  assert.deepEqual(drawing(canvas), ['.....', '..#..', '.##..']);
  drawText(canvas, '111', { x: 9, y: 9, size: 1 }, look);
});
