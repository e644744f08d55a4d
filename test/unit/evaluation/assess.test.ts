import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assess, type Enlarge } from '../../../inference/evaluation/assess.js';
import { summarize } from '../../../inference/evaluation/judge.js';
import { pictureOf, type Picture } from '../../../inference/pictures/picture.js';
import { qualityOf } from '../../../inference/quality.js';
import { downsampleBicubic, upsampleBicubic } from '../../../worker/data/bicubic.js';

/** A face of waves: smooth enough to enlarge, rough enough to lose something. */
function faceOf(width: number, height: number, pitch: number) {
  const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return Math.round(128 + 90 * Math.sin(x / pitch + (i % 3)) * Math.cos(y / (pitch + 1)));
  });
  const lr = new Float32Array((width * height * 3) / 16);
  downsampleBicubic(pixels, width, height, lr);
  return {
    key: `${pitch}`,
    width,
    height,
    hr: Float32Array.from(pixels, (value) => value / 127.5 - 1),
    lr,
  };
}

const enlargeAsBicubic: Enlarge = async (lr, width, height) =>
  await Promise.resolve(upsampleBicubic(lr, width, height).map((value) => value * 2 - 1));

test('a generator that is bicubic scores as bicubic', async () => {
  const faces = [faceOf(64, 64, 3), faceOf(48, 64, 2)];
  const found = await assess(faces, enlargeAsBicubic, { shown: 2 });
  const { generated, bicubic } = found.mean;
  assert.ok(Math.abs(generated.psnr - bicubic.psnr) < 0.02);
  assert.ok(Math.abs(generated.ssim - bicubic.ssim) < 1e-3);
  assert.deepEqual(
    found.faces.map(({ key }) => key),
    ['3', '2'],
  );
  const means = await Promise.all(
    faces.map(async (face) => await assess([face], enlargeAsBicubic, { shown: 1 })),
  );
  const mean = means.reduce((sum, one) => sum + one.mean.bicubic.psnr, 0) / 2;
  assert.ok(Math.abs(bicubic.psnr - mean) < 1e-9, 'figures are means over faces');
});

test('the bicubic figure is that of the enlarged low resolution', async () => {
  const face = faceOf(64, 64, 3);
  const { bicubic } = (await assess([face], enlargeAsBicubic, { shown: 1 })).mean;
  const enlarged = pictureOf(upsampleBicubic(face.lr, 16, 16), 64, 64, 'unit');
  assert.deepEqual(bicubic, qualityOf(enlarged, pictureOf(face.hr, 64, 64, 'signed')));
  assert.ok(bicubic.psnr < 45);
});

test('a perfect generator has the highest score', async () => {
  const face = faceOf(64, 64, 3);
  const { mean } = await assess([face], async () => await Promise.resolve(face.hr), { shown: 1 });
  assert.equal(mean.generated.psnr, 100);
});

test('the pictures show as many faces as were asked for', async () => {
  const faces = [3, 4, 5].map((pitch) => faceOf(64, 64, pitch));
  const one = await assess(faces, enlargeAsBicubic, { shown: 1 });
  const three = await assess(faces, enlargeAsBicubic, { shown: 9 });
  assert.ok(three.grid.height > 2 * one.grid.height);
  assert.equal(three.grid.width, one.grid.width);
});

test('networks measure both enlargements, and their figures are means like the others', async () => {
  const faces = [faceOf(64, 64, 3), faceOf(48, 64, 2)];
  const seen: number[] = [];
  const networks = {
    identity: async (pictures: readonly Picture[], original: Picture) => {
      seen.push(pictures.length, original.width);
      return await Promise.resolve(pictures.map((_, i) => i + original.width / 64));
    },
  };
  const found = await assess(faces, enlargeAsBicubic, { shown: 1, networks });
  assert.deepEqual(seen, [2, 64, 2, 48]);
  assert.deepEqual([found.mean.generated.identity, found.mean.bicubic.identity], [0.875, 1.875]);
  assert.equal('lpips' in found.mean.generated, false);
});

test('other models are judged and drawn beside it, on the same faces', async () => {
  const faces = [faceOf(64, 64, 3), faceOf(64, 64, 5)];
  const originals = new Map<Float32Array, Float32Array>(faces.map(({ lr, hr }) => [lr, hr]));
  const perfect: Enlarge = async (lr) => await Promise.resolve(originals.get(lr)!);
  const alone = await assess(faces, enlargeAsBicubic, { shown: 2 });
  const beside = [{ name: 'perfect', enlarge: perfect }];
  const both = await assess(faces, enlargeAsBicubic, { shown: 2, beside });
  assert.equal(both.mean.beside?.['perfect'].psnr, 100);
  assert.deepEqual(both.mean.generated, alone.mean.generated);
  assert.ok(both.grid.width > alone.grid.width, 'a column more');
  assert.equal('beside' in alone.mean, false);
});

test('a measure that is missing once is not summed up', () => {
  const judgements = [
    { psnr: 20, ssim: 0.5, identity: 1 },
    { psnr: 30, ssim: 0.75 },
  ];
  const largest = summarize(judgements, (values) => Math.max(...values));
  assert.deepEqual(largest, { psnr: 30, ssim: 0.75 });
});
