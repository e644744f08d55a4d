import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demoFolder } from '../../../cli/demo/demo-folder.js';
import { metricsOf, nextCommands, placeRows, qualityRows } from '../../../cli/demo/verdict.js';

const finished = {
  kind: 'finished',
  run: 'demo',
  step: 20,
  sha256: 'ab',
  world: 2,
  images_per_s: 10,
} as const;

function evaluationOf(step: number, psnr: number) {
  const figures = { psnr, ssim: 0.8, bicubic_psnr: 25.5, bicubic_ssim: 0.75, faces: 12 };
  return { kind: 'evaluation', step, ...figures, sample_key: `samples/${step}.png` } as const;
}

test('the last evaluation counts, and half a decibel is enough', () => {
  const metrics = metricsOf(finished, [evaluationOf(10, 27), evaluationOf(20, 26)], 100);
  assert.equal(metrics.gain_db, 0.5);
  assert.equal(metrics.passed, true);
  assert.deepEqual(metrics.history, [
    { step: 10, psnr: 27, ssim: 0.8 },
    { step: 20, psnr: 26, ssim: 0.8 },
  ]);
});

test('less than half a decibel is not enough', () => {
  assert.equal(metricsOf(finished, [evaluationOf(20, 25.99)], 100).passed, false);
  assert.equal(metricsOf(finished, [evaluationOf(20, Number.NaN)], 100).passed, false);
});

test('a run whose end was not evaluated has no verdict', () => {
  assert.throws(() => metricsOf(finished, [evaluationOf(10, 27)], 100), /without an evaluation/);
  assert.throws(() => metricsOf(finished, [], 100), /without an evaluation/);
});

test('the table shows both pictures and the difference with its sign', () => {
  const rows = qualityRows(metricsOf(finished, [evaluationOf(20, 24.25)], 100));
  assert.deepEqual(rows, [
    ['', 'PSNR', 'SSIM'],
    ['bicubic', '25.50 dB', '0.7500'],
    ['generated', '24.25 dB', '0.8000'],
    ['difference', '-1.25 dB', '+0.0500'],
  ]);
});

test('places are named from the working folder, and the next commands work there', () => {
  const folder = demoFolder('demo-out');
  assert.deepEqual(placeRows(folder).at(-1), [
    'the run and its checkpoints',
    'file://demo-out/store/runs/demo',
  ]);
  assert.equal(
    nextCommands(folder, 'npx lockstep')[0],
    'npx lockstep upscale PICTURE.jpg --model demo-out/model.onnx',
  );
  assert.match(folder.datasetUrl, /^file:\/\/\/.*\/demo-out\/store\/dataset$/);
});
