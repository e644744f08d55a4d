// The page's own bicubic enlargement against the one that a run is judged by.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { packageFile } from '../../../shared/paths.js';
import { upsampleBicubic } from '../../../worker/data/bicubic.js';
import { noise } from '../../support/pictures.js';

interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}
// It is no part of what is compiled.
const { enlargeBicubic } = (await import(pathToFileURL(packageFile('web/bicubic.js')).href)) as {
  enlargeBicubic(pixels: Pixels, scale: number): Promise<Pixels>;
};

for (const [width, height] of [
  [31, 67],
  [1, 1],
  [2, 5],
])
  test(`${width}x${height} pixels become what a run compares with`, async () => {
    const rgb = await noise(width, height).raw().toBuffer();
    const rgba = await noise(width, height).ensureAlpha().raw().toBuffer();
    const { data } = await enlargeBicubic({ width, height, data: new Uint8ClampedArray(rgba) }, 4);
    const units = Float32Array.from(rgb, (value) => value / 255);
    const expected = upsampleBicubic(units, width, height).map((value) => value * 255);
    assert.equal(data.length / 4, expected.length / 3);
    // Rounded; a half either way.
    for (let i = 0; i < expected.length; i++) {
      const got = data[4 * Math.floor(i / 3) + (i % 3)];
      assert.ok(Math.abs(got - expected[i]) < 0.501, `${got} at ${i}, not ${expected[i]}`);
    }
  });

test('what is transparent leaves no fringe', async () => {
  const [width, height] = [8, 4];
  const data = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < width * height; i++) if (i % width >= 4) data.set([200, 120, 40, 255], 4 * i);
  const { data: enlarged } = await enlargeBicubic({ width, height, data }, 4);
  for (let i = 0; i < enlarged.length; i += 4)
    if (enlarged[i + 3] > 0) assert.deepEqual([...enlarged.subarray(i, i + 3)], [200, 120, 40]);
});
