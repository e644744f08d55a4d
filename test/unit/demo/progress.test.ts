import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clock, describeView, updateView, type TrainingView } from '../../../cli/demo/progress.js';

const start: TrainingView = {
  step: 0,
  lastStep: 1,
  imagesPerSecond: undefined,
  etaSeconds: undefined,
  evaluation: undefined,
};
const evaluation = {
  kind: 'evaluation',
  step: 5,
  psnr: 26.314,
  ssim: 0.8,
  bicubic_psnr: 25.781,
  bicubic_ssim: 0.7,
  sample_key: 'samples/step-00000005.png',
} as const;

test('the view follows steps and evaluations', () => {
  const step = { kind: 'step', step: 5, last_step: 9, images_per_s: 12.34, eta_s: 65.4 } as const;
  const view = [step, evaluation, { kind: 'checkpoint', step: 5 } as const].reduce<TrainingView>(
    updateView,
    start,
  );
  assert.deepEqual([view.step, view.lastStep], [5, 9]);
  const text = '12.3 images/s, ETA 1:05, PSNR 26.31 dB (bicubic 25.78)';
  assert.equal(describeView(view), text);
});

test('what is not known yet is left out', () => {
  assert.equal(describeView(start), '');
  assert.equal(describeView({ ...start, etaSeconds: 5 }), 'ETA 0:05');
});

test('a clock shows minutes and seconds', () => {
  assert.deepEqual([0, 59.6, 125, -3].map(clock), ['0:00', '1:00', '2:05', '0:00']);
});
