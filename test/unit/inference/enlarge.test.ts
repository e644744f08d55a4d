import fc from 'fast-check';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countTiles, cutSide, enlarge } from '../../../inference/enlarge.js';

/** A "network" that repeats pixels, and refuses what real ones cannot take. */
async function repeat(pixels: Float32Array, height: number, width: number): Promise<Float32Array> {
  assert.ok(height >= 4 && width >= 4, `${height}x${width} is too small`);
  const output = new Float32Array(16 * height * width * 3);
  for (let y = 0; y < 4 * height; y++)
    for (let x = 0; x < 4 * width; x++)
      for (let c = 0; c < 3; c++) {
        const from = (y >> 2) * width + (x >> 2);
        output[(y * 4 * width + x) * 3 + c] = 2 * pixels[from * 3 + c] - 1;
      }
  return output;
}

/** Enlarges a picture of all kinds of values, and looks at every pixel of the result. */
async function enlargeRepeated(width: number, height: number, tile: number): Promise<void> {
  const picture = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 256);
  const bands: Uint8Array[] = [];
  let next = 0;
  await enlarge({
    ...{ width, height, scale: 4, tile, margin: 3, network: repeat },
    readRows: async ({ start, end }) => picture.slice(start * width * 3, end * width * 3),
    writeRows: async (rows, from) => {
      assert.equal(from.start, next);
      next = from.end;
      bands.push(rows);
    },
  });
  const output = Buffer.concat(bands);
  for (let y = 0; y < 4 * height; y++)
    for (let x = 0; x < 4 * width; x++)
      for (let c = 0; c < 3; c++)
        assert.equal(
          output[(y * 4 * width + x) * 3 + c],
          picture[((y >> 2) * width + (x >> 2)) * 3 + c],
          `${[y, x, c]}`,
        );
}

test('every pixel lands in its place, whatever the tiles', async () => {
  for (const tile of [5, 16, 100]) await enlargeRepeated(37, 23, tile);
});

test('pictures down to one pixel go through a network that needs four', async () => {
  await enlargeRepeated(1, 1, 16);
  await enlargeRepeated(1, 9, 16);
  await enlargeRepeated(50, 2, 16);
});

test('tiles are counted and reported one by one', async () => {
  const job = { width: 100, height: 30, tile: 16, margin: 2 };
  const reported: [number, number][] = [];
  await enlarge({
    ...job,
    scale: 4,
    network: repeat,
    readRows: async ({ start, end }) => new Uint8Array((end - start) * 300),
    writeRows: async () => undefined,
    onTile: (done, total) => reported.push([done, total]),
  });
  assert.equal(countTiles(job), 14);
  assert.deepEqual(
    reported,
    Array.from({ length: 14 }, (_, i) => [i + 1, 14]),
  );
});

test('cores cover the side once, none longer than allowed, each with its margin', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 16, max: 300 }),
      fc.integer({ min: 1, max: 60 }),
      (length, tile, margin) => {
        const tiles = cutSide(length, tile, margin);
        let covered = 0;
        for (const { core, read } of tiles) {
          assert.equal(core.start, covered);
          assert.ok(core.end > core.start);
          assert.ok(tiles.length === 1 || core.end - core.start <= tile);
          assert.equal(read.start, Math.max(0, core.start - margin));
          assert.equal(read.end, Math.min(length, core.end + margin));
          covered = core.end;
        }
        assert.equal(covered, length);
      },
    ),
  );
});

test('a side that fits with its margins is not cut', () => {
  assert.equal(cutSide(272, 192, 40).length, 1);
  assert.equal(cutSide(273, 192, 40).length, 2);
});
