import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createPicture, type Picture } from '../../../inference/pictures/picture.js';
import { qualityOf, type Quality } from '../../../inference/quality.js';

type Formula = (x: number, y: number, channel: number) => number;

function painted(width: number, height: number, formula: Formula): Picture {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) data[(y * width + x) * 3 + c] = formula(x, y, c);
  return { width, height, data };
}

function textured(a: number, b: number, c: number): Formula {
  return (x, y, k) =>
    (x * a + y * b + k * c + ((x * y) % 17) + ((x * x + 3 * y * y * (k + 1)) % 29)) % 256;
}

function noisy(picture: Picture): Picture {
  const { width, height, data } = picture;
  return painted(width, height, (x, y, k) => {
    const value = data[(y * width + x) * 3 + k] ?? 0;
    return Math.min(255, Math.max(0, value + ((x * 7 + y * 13 + k * 5) % 21) - 10));
  });
}

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);
}

function nearBoth(actual: Quality, expected: Quality): void {
  near(actual.psnr, expected.psnr);
  near(actual.ssim, expected.ssim);
}

// The constants were computed in NumPy from the definitions: luma as MATLAB's rgb2ycbcr without
// rounding, SSIM with the 11x11 window applied directly and central moments at every place.
test('PSNR and SSIM equal those of an independent computation', () => {
  const first = painted(40, 33, textured(3, 5, 40));
  const second = painted(24, 24, textured(1, 2, 80));
  const other = painted(40, 33, textured(1, 2, 80));
  const cases = [
    [noisy(first), first, 37.95106376130683, 0.9693213602955032],
    [noisy(second), second, 38.111635084088114, 0.9318034256969153],
    [first, other, 15.357047016387053, 0.5486022851807245],
  ] as const;
  for (const [a, b, psnr, ssim] of cases) nearBoth(qualityOf(a, b), { psnr, ssim });
});

test('black against white is the whole luma range of 16 to 235', () => {
  const black = createPicture(20, 20, [0, 0, 0]);
  const white = createPicture(20, 20, [255, 255, 255]);
  near(qualityOf(black, white).psnr, 20 * Math.log10(255 / 219));
});

test('equal pictures have the highest PSNR, which is a number', () => {
  const picture = painted(30, 19, textured(7, 11, 3));
  assert.equal(qualityOf(picture, picture).psnr, 100);
  near(qualityOf(picture, picture).ssim, 1);
});

test('what lies within four pixels of the edge does not count', () => {
  const picture = painted(30, 30, textured(7, 11, 3));
  const isInside = (i: number): boolean => i >= 4 && i < 26;
  const framed = painted(30, 30, (x, y, k) =>
    isInside(x) && isInside(y) ? (picture.data[(y * 30 + x) * 3 + k] ?? 0) : 255,
  );
  assert.equal(qualityOf(framed, picture).psnr, 100);
  const touched = { ...framed, data: framed.data.slice() };
  touched.data[(4 * 30 + 4) * 3] = (touched.data[(4 * 30 + 4) * 3] ?? 0) ^ 128;
  assert.ok(qualityOf(touched, picture).psnr < 60);
});

test('neither figure depends on which picture is the original', () => {
  const bytes = fc.uint8Array({ minLength: 19 * 19 * 3, maxLength: 19 * 19 * 3 });
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      const [one, two] = [a, b].map((data) => ({ width: 19, height: 19, data }));
      nearBoth(qualityOf(one, two), qualityOf(two, one));
    }),
    { numRuns: 30 },
  );
});

test('pictures of different or too small a size are refused', () => {
  const large = createPicture(30, 30, [0, 0, 0]);
  assert.throws(() => qualityOf(large, createPicture(30, 29, [0, 0, 0])), /different sizes/);
  const small = createPicture(18, 30, [0, 0, 0]);
  assert.throws(() => qualityOf(small, small), /18x30 pixels are too few/);
});
