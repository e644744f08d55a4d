import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countTiles, enlarge } from '../../../inference/enlarge.js';

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

async function enlargeRepeated(width: number, height: number, tile: number): Promise<Uint8Array> {
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
  return output;
}

test('every pixel lands in its place, whatever the tiles', async () => {
  for (const tile of [5, 16, 100]) await enlargeRepeated(37, 23, tile);
});

test('pictures down to one pixel go through a network that needs four', async () => {
  for (const [width, height] of [
    [1, 1],
    [1, 9],
    [50, 2],
  ] as const)
    await enlargeRepeated(width, height, 16);
});

test('tiles are counted and told one by one', async () => {
  const job = { width: 100, height: 30, tile: 16, margin: 2 };
  const told: [number, number][] = [];
  await enlarge({
    ...job,
    scale: 4,
    network: repeat,
    readRows: async ({ start, end }) => new Uint8Array((end - start) * 300),
    writeRows: async () => undefined,
    onTile: (done, total) => told.push([done, total]),
  });
  assert.equal(countTiles(job), 14);
  assert.deepEqual(
    told,
    Array.from({ length: 14 }, (_, i) => [i + 1, 14]),
  );
});
