import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gridOf, historyFrame, type FaceResult } from '../../../inference/pictures/grid.js';
import { createPicture, type Colour, type Picture } from '../../../inference/pictures/picture.js';

const red: Colour = [200, 0, 0];
const green: Colour = [0, 200, 0];
const blue: Colour = [0, 0, 200];
const grey: Colour = [90, 90, 90];

function face(width: number, height: number): FaceResult {
  return {
    low: createPicture(width / 4, height / 4, red),
    bicubic: createPicture(width, height, green),
    generated: createPicture(width, height, blue),
    original: createPicture(width, height, grey),
    figures: { bicubic: { psnr: 25.5 }, generated: { psnr: 26.125 } },
  };
}

/** The colours of the columns, read along the middle line of a row of faces. */
function coloursAlong({ width, data }: Picture, y: number): string[] {
  const runs: string[] = [];
  for (let x = 0; x < width; x++) {
    const colour = [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)].join();
    if (runs.at(-1) !== colour) runs.push(colour);
  }
  return runs.filter((colour) => colour !== '255,255,255');
}

function count({ data }: Picture, [r, g, b]: Colour): number {
  let found = 0;
  for (let i = 0; i < data.length; i += 3)
    if (data[i] === r && data[i + 1] === g && data[i + 2] === b) found++;
  return found;
}

test('the grid shows low resolution, bicubic, generated, original', () => {
  const grid = gridOf([face(128, 128), face(128, 128)]);
  const order = [red, green, blue, grey].map((colour) => colour.join());
  assert.deepEqual(coloursAlong(grid, 150), order);
  assert.deepEqual(coloursAlong(grid, grid.height - 150), order);
  // Each picture is shown whole, at twice its size.
  for (const colour of [red, green, blue, grey]) assert.equal(count(grid, colour), 2 * 256 * 256);
});

test('faces of different sizes and shapes share a grid', () => {
  const grid = gridOf([face(64, 96), face(128, 32)]);
  for (const colour of [red, green, blue, grey])
    assert.equal(count(grid, colour), 4 * (64 * 96 + 128 * 32));
});

test('a history frame shows generated, original, low resolution', () => {
  const frame = historyFrame([face(64, 64)]);
  const order = [blue, grey, red].map((colour) => colour.join());
  assert.deepEqual(coloursAlong(frame, frame.height - 30), order);
  assert.equal(count(frame, blue), 64 * 64);
  // Narrower than the labels.
  assert.equal(count(historyFrame([face(16, 16)]), blue), 16 * 16);
});
