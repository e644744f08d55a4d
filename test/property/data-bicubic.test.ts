import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { downsampleBicubic, upsampleBicubic } from '../../worker/data/bicubic.js';

// The definition, written as slowly as it reads: one double sum over the whole picture for each
// value, weights of the product kernel, scaled to sum to one.
function keys(x: number): number {
  const a = -0.5;
  const d = Math.abs(x);
  if (d <= 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
  if (d < 2) return a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a;
  return 0;
}

/** Colour `c` at (x, y): a weighted mean of the picture, its edge repeated `border` times. */
function valueAt(
  pixels: ArrayLike<number>,
  [w, h]: readonly [number, number],
  [x, y, c]: readonly [number, number, number],
  weigh: (from: number, to: number) => number,
  border: number,
): number {
  const clamp = (i: number, n: number): number => Math.max(0, Math.min(n - 1, i));
  let [sum, weights] = [0, 0];
  for (let v = -border; v < h + border; v++)
    for (let u = -border; u < w + border; u++) {
      const weight = weigh(u, x) * weigh(v, y);
      sum += weight * pixels[(clamp(v, h) * w + clamp(u, w)) * 3 + c];
      weights += weight;
    }
  return sum / weights;
}
const reducing = (from: number, to: number): number => keys((from + 0.5 - (to + 0.5) * 4) / 4);
const enlarging = (from: number, to: number): number => keys((to + 0.5) / 4 - (from + 0.5));

const sides = fc.integer({ min: 1, max: 6 });

test('the reduction is the definition, rounded to 8 bits', () => {
  fc.assert(
    fc.property(sides, sides, fc.infiniteStream(fc.nat(255)), (across, down, values) => {
      const [w, h] = [across * 4, down * 4];
      const pixels = Uint8Array.from({ length: w * h * 3 }, () => values.next().value as number);
      const out = new Float32Array(across * down * 3 + 2).fill(-7);
      downsampleBicubic(pixels, w, h, out, 1);
      assert.deepEqual([out[0], out.at(-1)], [-7, -7], 'nothing beside its place is written');
      for (let i = 0; i < across * down * 3; i++) {
        const [x, y] = [Math.floor(i / 3) % across, Math.floor(i / 3 / across)];
        const exact = Math.max(
          0,
          Math.min(255, valueAt(pixels, [w, h], [x, y, i % 3], reducing, 0)),
        );
        const byte = out[i + 1] * 255;
        assert.ok(Math.abs(byte - Math.round(byte)) < 1e-4, 'a whole number of 255ths');
        assert.ok(Math.abs(byte - exact) <= 0.5 + 1e-4, `${byte} is not ${exact} rounded`);
      }
    }),
    { numRuns: 25 },
  );
});

test('the enlargement is the definition', () => {
  fc.assert(
    fc.property(sides, sides, fc.infiniteStream(fc.nat(255)), (w, h, values) => {
      const lr = Float32Array.from(
        { length: w * h * 3 },
        () => (values.next().value as number) / 255,
      );
      const out = upsampleBicubic(lr, w, h);
      assert.equal(out.length, lr.length * 16);
      for (let i = 0; i < out.length; i++) {
        const [x, y] = [Math.floor(i / 3) % (w * 4), Math.floor(i / 3 / (w * 4))];
        const exact = Math.max(0, Math.min(1, valueAt(lr, [w, h], [x, y, i % 3], enlarging, 3)));
        assert.ok(Math.abs(out[i] - exact) < 1e-6, `${i}: ${out[i]} is not ${exact}`);
      }
    }),
    { numRuns: 10 },
  );
});

test('one colour stays that colour both ways', () => {
  const pixels = new Uint8Array(32 * 16 * 3).fill(77);
  const lr = new Float32Array(8 * 4 * 3);
  downsampleBicubic(pixels, 32, 16, lr);
  assert.ok(lr.every((value) => value === Math.fround(77 / 255)));
  assert.ok(upsampleBicubic(lr, 8, 4).every((value) => Math.abs(value - 77 / 255) < 1e-6));
});

test('sizes that four does not divide are refused', () => {
  assert.throws(
    () => downsampleBicubic(new Uint8Array(6 * 4 * 3), 6, 4, new Float32Array(6)),
    /6x4/,
  );
});
