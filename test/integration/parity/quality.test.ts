import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLpips } from '../../../inference/evaluation/measuring-networks.js';
import { createPicture, type Picture } from '../../../inference/pictures/picture.js';
import { qualityOf, type Quality } from '../../../inference/quality.js';
import { encodeSafetensors } from '../../../shared/checkpoint/safetensors.js';
import { createRandomStream, hashIntegers } from '../../../shared/random.js';
import { takeTensors } from '../../../shared/weights/frozen-weights.js';
import { readVgg16Weights } from '../../../shared/weights/vgg16-weights.js';
import { vgg16Weights } from '../../../task/features/lpips.js';
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

/** Pairs of pictures, alike and less so. */
function pairsOf(sizes: readonly (readonly [number, number])[], noises: readonly number[]) {
  return sizes.flatMap(([width, height], i) =>
    noises.map((noise) => ({
      picture: painted(width, height, i, noise),
      original: painted(width, height, i, 1),
    })),
  );
}

type Pairs = ReturnType<typeof pairsOf>;

const inputOf = (pairs: Pairs): unknown =>
  pairs.map(({ picture, original }) => ({
    width: picture.width,
    height: picture.height,
    picture: base64(picture),
    original: base64(original),
  }));

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
    const pairs = pairsOf(sizes, [2, 12, 40]);
    const expected = (await runPython('quality.py', inputOf(pairs))) as readonly Quality[];
    assert.equal(expected.length, pairs.length);
    for (const [i, { picture, original }] of pairs.entries()) {
      const found = qualityOf(picture, original);
      const words = `${picture.width}x${picture.height}: ${JSON.stringify([found, expected[i]])}`;
      assert.ok(Math.abs(found.psnr - (expected[i]?.psnr ?? NaN)) < 1e-4, words);
      assert.ok(Math.abs(found.ssim - (expected[i]?.ssim ?? NaN)) < 1e-4, words);
    }
  },
);

/** VGG-16 that was never trained, as a safetensors file with torchvision's names. */
function randomVgg16(): Buffer {
  const random = createRandomStream(3);
  const places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
  const tensors = vgg16Weights.map(({ shape }, i) => {
    const isFilter = shape.length === 4;
    const own = isFilter ? [shape[3], shape[2], 3, 3] : shape;
    const size = own.reduce((a, b) => a * b);
    const spread = isFilter ? Math.sqrt(24 / (9 * shape[2])) : 0.2;
    const data = Float32Array.from({ length: size }, () => spread * (random.uniform() - 0.5));
    const name = `features.${places[i >> 1]}.${isFilter ? 'weight' : 'bias'}`;
    return { name, shape: own, data };
  });
  return encodeSafetensors(tensors);
}

test(
  "LPIPS equals pip's lpips, whatever VGG-16's weights",
  { skip: skipWithoutPython('torch', 'torchvision', 'lpips', 'safetensors') },
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'lockstep-lpips-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, 'vgg16.safetensors');
    await writeFile(file, randomVgg16());
    const sizes = [
      [48, 48],
      [64, 41],
    ] as const;
    const pairs = pairsOf(sizes, [40]);
    const expected = (await runPython('lpips_distance.py', inputOf(pairs), [file])) as number[];
    const read = await readVgg16Weights(`file://${file}`, '--lpips', vgg16Weights, {});
    const lpips = openLpips(takeTensors(read, vgg16Weights), 1);
    for (const [i, { picture, original }] of pairs.entries()) {
      const [found, none] = await lpips([picture, original], original);
      assert.ok(expected[i] > 1e-5, `${expected[i]}`);
      assert.ok(Math.abs(found - expected[i]) < 1e-3 * expected[i], `${found} ${expected[i]}`);
      assert.equal(none, 0);
    }
  },
);

test('a file that is not VGG-16 is refused by name', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-lpips-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'other.safetensors');
  const read = () => readVgg16Weights(file, '--lpips', vgg16Weights, {});
  await assert.rejects(read, /--lpips.*it is not there/s);
  await writeFile(file, 'no tensors');
  await assert.rejects(read, /--lpips.*not a safetensors file/s);
  const tensor = { name: 'features.0.weight', shape: [1], data: new Float32Array(1) };
  await writeFile(file, encodeSafetensors([tensor]));
  await assert.rejects(read, /--lpips.*features\.0\.weight has the shape \[1\]/s);
});
