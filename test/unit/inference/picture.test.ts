import assert from 'node:assert/strict';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import sharp from 'sharp';
import { PngWriter, type PngChannels } from '../../../inference/upscale/png-writer.js';
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
import { createRandomStream } from '../../../shared/random.js';

const plain = { depth: 8, chunks: [] } as const;
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

async function temporaryFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-png-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'picture.png');
}

for (const channels of [1, 2, 3, 4] as const satisfies readonly PngChannels[])
  test(`another reader finds every pixel: ${channels} channels`, async (t) => {
    const [width, height] = [61, 47];
    const stream = createRandomStream(channels);
    const data = Uint8Array.from({ length: width * height * channels }, (_, i) =>
      i % 3 === 0 ? 256 * stream.uniform() : i,
    );
    const path = await temporaryFile(t);
    const png = new PngWriter(await open(path, 'w'), {
      ...{ width, height, channels },
      ...plain,
    });
    const row = width * channels;
    for (const [from, to] of [
      [0, 1],
      [1, 30],
      [30, 47],
    ] as const)
      await png.write(data.subarray(from * row, to * row));
    await png.close();
    const metadata = await sharp(path).metadata();
    assert.equal(metadata.channels, channels);
    // sharp shows grey as three equal colours.
    const { data: shown, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
    const kept = channels < 3 ? [0, ...(channels === 2 ? [info.channels - 1] : [])] : [0, 1, 2, 3];
    const got = shown.filter((_, i) => kept.slice(0, channels).includes(i % info.channels));
    assert.deepEqual(new Uint8Array(got), data);
  });

test('missing rows and rows too many are refused', async (t) => {
  const png = new PngWriter(await open(await temporaryFile(t), 'w'), {
    ...{ width: 2, height: 2, channels: 3 },
    ...plain,
  });
  await assert.rejects(png.write(new Uint8Array(18)), /not up to 2 rows/);
  await assert.rejects(png.close(), /2 rows are missing/);
  png.abort();
});

test('a file that cannot be written fails, and does not hang', async () => {
  const png = new PngWriter(await open('/dev/null', 'r'), {
    ...{ width: 100, height: 100, channels: 3 },
    ...plain,
  });
  await assert.rejects(async () => {
    await png.write(new Uint8Array(30_000));
    await png.close();
  }, /EBADF/);
  png.abort();
});
