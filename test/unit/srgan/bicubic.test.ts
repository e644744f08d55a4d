import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createRandomStream } from '../../../shared/random.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';
import { enlargeBicubic } from '../../../task/srgan/bicubic.js';

before(loadReferenceBackend);

/** Keys 1981, equation 15 with a = -1/2, written out. */
function keys(x: number): number {
  const s = Math.abs(x);
  if (s < 1) return 1.5 * s ** 3 - 2.5 * s ** 2 + 1;
  if (s < 2) return -0.5 * s ** 3 + 2.5 * s ** 2 - 4 * s + 2;
  return 0;
}

/** Direct sampling: sum over all pixels of the reflected row, at (o + 1/2) / 4 - 1/2. */
function sampleRow(row: (i: number) => number, length: number, o: number): number {
  const at = (o + 0.5) / 4 - 0.5;
  let sum = 0;
  for (let i = -2; i < length + 2; i++) {
    const mirrored = i < 0 ? -i : i >= length ? 2 * (length - 1) - i : i;
    sum += keys(at - i) * row(mirrored);
  }
  return sum;
}

for (const [height, width] of [
  [3, 3],
  [5, 8],
] as const)
  test(`the skip is the bicubic formula: ${height}x${width}`, () => {
    const stream = createRandomStream(5);
    const values = Array.from({ length: 2 * height * width * 3 }, () => stream.uniform());
    const y = enlargeBicubic(tf.tensor4d(values, [2, height, width, 3]));
    assert.deepEqual(y.shape, [2, 4 * height, 4 * width, 3]);
    const pixel = (n: number, i: number, j: number, c: number) =>
      values[((n * height + i) * width + j) * 3 + c];
    const got = y.dataSync();
    let at = 0;
    for (let n = 0; n < 2; n++)
      for (let i = 0; i < 4 * height; i++)
        for (let j = 0; j < 4 * width; j++)
          for (let c = 0; c < 3; c++, at++) {
            const across = (r: number) => sampleRow((q) => pixel(n, r, q, c), width, j);
            const expected = sampleRow(across, height, i);
            assert.ok(Math.abs(got[at] - expected) < 1e-5, `${[n, i, j, c]}`);
          }
  });

test('a constant picture stays the same', () => {
  const y = enlargeBicubic(tf.fill([1, 4, 4, 3], 0.25));
  assert.ok(y.dataSync().every((value) => Math.abs(value - 0.25) < 1e-6));
});
