import assert from 'node:assert/strict';
import { test } from 'node:test';
import { downsampleBicubic } from '../../../worker/data/bicubic.js';
import { resizedSize } from '../../../dataset/samples.js';
import { writePatch } from '../../../worker/data/patch.js';

const picture = {
  width: 11,
  height: 9,
  data: Uint8Array.from({ length: 11 * 9 * 3 }, (_, i) => (i * 37) % 256),
};
const valueAt = (x: number, y: number, c: number): number => picture.data[(y * 11 + x) * 3 + c];

for (const flipped of [false, true])
  test(`a ${flipped ? 'mirrored ' : ''}patch is the picture's own pixels at its place`, () => {
    const side = 8;
    const hr = new Float32Array(2 * side * side * 3);
    const lr = new Float32Array(2 * 2 * 2 * 3);
    writePatch(picture, { x: 2, y: 1, side, flipped }, hr, lr, 1);
    const pixels = new Uint8Array(side * side * 3);
    for (let i = 0; i < pixels.length; i++) {
      const [x, y] = [Math.floor(i / 3) % side, Math.floor(i / 3 / side)];
      pixels[i] = valueAt(2 + (flipped ? side - 1 - x : x), 1 + y, i % 3);
      assert.equal(hr[side * side * 3 + i], Math.fround(pixels[i] / 127.5 - 1));
    }
    const expected = new Float32Array(2 * 2 * 3);
    downsampleBicubic(pixels, side, side, expected);
    assert.deepEqual(lr.subarray(12), expected);
    assert.ok(hr.subarray(0, side * side * 3).every((value) => value === 0));
    assert.ok(lr.subarray(0, 12).every((value) => value === 0));
  });

test('the shorter side is scaled to what was asked, the other with it', () => {
  assert.deepEqual(resizedSize({ width: 300, height: 200 }, 0), { width: 300, height: 200 });
  assert.deepEqual(resizedSize({ width: 300, height: 200 }, 100), { width: 150, height: 100 });
  assert.deepEqual(resizedSize({ width: 200, height: 301 }, 100), { width: 100, height: 151 });
  assert.deepEqual(resizedSize({ width: 64, height: 64 }, 96), { width: 96, height: 96 });
});
