import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demoFolder } from '../../../cli/demo/demo-folder.js';
import {
  metricsOf,
  nextCommands,
  parseComparison,
  placeRows,
  qualityRows,
  shortfalls,
} from '../../../cli/demo/verdict.js';

const finished = {
  kind: 'finished',
  run: 'demo',
  step: 20,
  sha256: 'ab',
  world: 2,
  images_per_s: 10,
} as const;

const training = {
  finished,
  evaluations: [10, 20].map((step) => {
    const figures = { psnr: 26, ssim: 0.8, bicubic_psnr: 25.5, bicubic_ssim: 0.75, faces: 12 };
    return { kind: 'evaluation', step, ...figures, sample_key: `samples/${step}.png` } as const;
  }),
};

const comparisonOf = (pixelPsnr: number, ganIdentity: number) => ({
  bicubic: { psnr: 25.5, ssim: 0.75, identity: 0.02 },
  pixel: { psnr: pixelPsnr, ssim: 0.8, identity: 0.015 },
  gan: { psnr: 25.75, ssim: 0.77, identity: ganIdentity },
  faces: 12,
});

const metricsWith = (pixelPsnr: number, ganIdentity = 0.01) =>
  metricsOf(training, comparisonOf(pixelPsnr, ganIdentity), 100);

test('half a decibel of the pixel model, and a GAN nearer to the person, are enough', () => {
  const metrics = metricsWith(26);
  assert.equal(metrics.gain_db, 0.5);
  assert.equal(metrics.passed, true);
  assert.equal(metrics.test_faces, 12);
  assert.deepEqual(metrics.history, [
    { step: 10, psnr: 26, ssim: 0.8 },
    { step: 20, psnr: 26, ssim: 0.8 },
  ]);
});

test('what falls short is said', () => {
  for (const metrics of [metricsWith(25.99), metricsWith(Number.NaN)]) {
    assert.equal(metrics.passed, false);
    assert.match(
      shortfalls(metrics).join(),
      /beat bicubic by (0\.49|NaN) dB; 0\.5 dB were expected/,
    );
  }
  const other = metricsWith(26, 0.02);
  assert.equal(other.passed, false);
  assert.match(shortfalls(other).join(), /identity 0\.0200, bicubic 0\.0200/);
});

test('the table shows the three enlargements', () => {
  assert.deepEqual(qualityRows(metricsWith(26)), [
    ['', 'PSNR', 'SSIM', 'identity distance'],
    ['bicubic', '25.50 dB', '0.7500', '0.0200'],
    ['pixel', '26.00 dB', '0.8000', '0.0150'],
    ['gan', '25.75 dB', '0.7700', '0.0100'],
  ]);
});

test('what lockstep evaluate leaves is read', () => {
  const { bicubic, pixel, gan } = comparisonOf(26, 0.01);
  const mean = { generated: gan, bicubic, beside: { pixel } };
  const text = JSON.stringify({ mean, faces: Array.from({ length: 12 }, () => ({})), scale: 4 });
  assert.deepEqual(parseComparison(text), comparisonOf(26, 0.01));
  assert.throws(() => parseComparison('{"mean":{}}'), /pixel|bicubic/);
});

test('places are named from the working folder, and the next commands work there', () => {
  const folder = demoFolder('demo-out');
  assert.deepEqual(placeRows(folder).at(-1), [
    'the run and its checkpoints',
    'file://demo-out/store/runs/demo',
  ]);
  assert.equal(
    nextCommands(folder, 'npx lockstep')[0],
    'npx lockstep upscale PICTURE.jpg --model demo-out/gan/model.onnx',
  );
  assert.match(folder.datasetUrl, /^file:\/\/\/.*\/demo-out\/store\/dataset$/);
});
