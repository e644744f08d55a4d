import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPicture, type Picture } from '../../../inference/pictures/picture.js';
import { qualityOf, type Quality } from '../../../inference/quality.js';
import { hashIntegers } from '../../../shared/random.js';
import { runPython, skipWithoutPython } from '../../python/run-python.js';

/** Smooth colours, with noise of at most `noise` on top, which is another for each `seed`. */
function painted(width: number, height: number, seed: number, noise: number): Picture {
  const picture = createPicture(width, height, [0, 0, 0]);
  for (let i = 0; i < picture.data.length; i++) {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    const smooth = 128 + 80 * Math.sin((x * (c + 1)) / 9 + seed) * Math.cos(y / 7);
    picture.data[i] = smooth + noise * (((hashIntegers(seed, i) >>> 0) / 2 ** 32) * 2 - 1);
  }
  return picture;
}

const base64 = ({ data }: Picture): string => Buffer.from(data).toString('base64');

test(
  "PSNR and SSIM equal scikit-image's",
  { skip: skipWithoutPython('numpy', 'skimage') },
  async () => {
    const sizes = [
      [96, 96],
      [64, 81],
      [19, 40],
      [256, 256],
    ] as const;
    const pairs = sizes.flatMap(([width, height], i) =>
      [2, 12, 40].map((noise) => ({
        picture: painted(width, height, i, noise),
        original: painted(width, height, i, 1),
      })),
    );
    const asked = pairs.map(({ picture, original }) => ({
      width: picture.width,
      height: picture.height,
      picture: base64(picture),
      original: base64(original),
    }));
    const expected = (await runPython('quality.py', asked)) as readonly Quality[];
    assert.equal(expected.length, pairs.length);
    for (const [i, { picture, original }] of pairs.entries()) {
      const found = qualityOf(picture, original);
      const words = `${picture.width}x${picture.height}: ${JSON.stringify([found, expected[i]])}`;
      assert.ok(Math.abs(found.psnr - (expected[i]?.psnr ?? NaN)) < 1e-4, words);
      assert.ok(Math.abs(found.ssim - (expected[i]?.ssim ?? NaN)) < 1e-4, words);
    }
  },
);
