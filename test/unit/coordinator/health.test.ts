// Verdicts on histories that are made up: balance, a discriminator that has won, a generator that
// has collapsed, and what is no sign of either.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createHealth,
  forgetSteps,
  judgeHealth,
  noteMetrics,
  notePsnr,
  type Health,
} from '../../../coordinator/core/health.js';

const balanced = {
  ...{ 'score/real': 0.7, 'score/fake': 0.3, mse: 0.01 },
  ...{ 'gradient/generator': 0.1, 'gradient/discriminator': 0.1 },
};
const won = { ...balanced, 'score/real': 0.99, 'score/fake': 0.01 };

/** What is said while so many steps have these metrics. */
function follow(
  health: Health,
  steps: number,
  metrics: Readonly<Record<string, number>>,
  { phase = 'adversarial', realLabel = 1 } = {},
): string[] {
  return Array.from({ length: steps }).flatMap(() => {
    noteMetrics(health, phase, metrics);
    return judgeHealth(health, realLabel)?.verdict ?? [];
  });
}

test('balance is not worth a word', () => {
  assert.deepEqual(follow(createHealth(), 1000, balanced), []);
});

test('a discriminator that wins for long is said once, with what to do; balance again as well', () => {
  const health = createHealth();
  assert.deepEqual(follow(health, 99, won), [], 'not at once');
  noteMetrics(health, 'adversarial', won);
  const said = judgeHealth(health, 1);
  assert.equal(said?.verdict, 'discriminator wins');
  assert.match(said.text, /score\/real 0\.99 and score\/fake 0\.01 over 100 steps; lower learn/);
  assert.deepEqual(follow(health, 500, won), []);
  const nearly = { ...won, 'score/real': 0.92, 'score/fake': 0.08 };
  assert.deepEqual(follow(health, 500, nearly), [], 'it does not flap at the limit');
  assert.deepEqual(follow(health, 500, balanced), ['healthy']);
});

test('a few steps are no victory, and with a smooth label 0.9 is one', () => {
  const health = createHealth();
  follow(health, 100, balanced);
  assert.deepEqual(follow(health, 60, won), []);
  const smooth = { ...won, 'score/real': 0.89 };
  assert.deepEqual(follow(createHealth(), 200, smooth), []);
  assert.deepEqual(follow(createHealth(), 200, smooth, { realLabel: 0.9 }), ['discriminator wins']);
});

test('a PSNR that falls far below bicubic and below what it was is a collapse', () => {
  const health = createHealth();
  notePsnr(health, 12, 26);
  assert.deepEqual(follow(health, 50, balanced), [], 'low from the start is only young');
  notePsnr(health, 27, 26);
  notePsnr(health, 25.2, 26);
  assert.deepEqual(follow(health, 50, balanced), [], "a GAN's PSNR is a little below bicubic");
  notePsnr(health, 19, 26);
  noteMetrics(health, 'adversarial', balanced);
  const said = judgeHealth(health, 1);
  assert.equal(said?.verdict, 'generator collapses');
  assert.match(said.text, /PSNR 19\.00 dB is 7\.00 below bicubic, and was 27\.00; go on from/);
  notePsnr(health, 26, 26);
  assert.deepEqual(follow(health, 100, balanced), ['healthy']);
});

for (const [metric, value] of [
  ['mse', 0.05],
  ['gradient/generator', 20],
] as const)
  test(`${metric} that runs away is a collapse`, () => {
    const health = createHealth();
    follow(health, 200, balanced);
    const said = follow(health, 30, { ...balanced, [metric]: value });
    assert.deepEqual(said, ['generator collapses']);
    const slower = createHealth();
    follow(slower, 200, balanced);
    assert.deepEqual(follow(slower, 30, { ...balanced, [metric]: 1.5 * balanced[metric] }), []);
  });

test('a phase of pixels alone, a new phase and a setback start anew', () => {
  const health = createHealth();
  assert.deepEqual(follow(health, 300, { mse: 0.01 }, { phase: 'pixel' }), []);
  assert.deepEqual(follow(health, 60, won), []);
  forgetSteps(health);
  assert.deepEqual(follow(health, 60, won), []);
  assert.deepEqual(follow(health, 60, { ...balanced, mse: 1 }, { phase: 'other' }), []);
});

test('metrics that are missing or not finite are no sign', () => {
  const { mse: _mse, ...lacking } = balanced;
  assert.deepEqual(follow(createHealth(), 300, lacking), []);
  assert.deepEqual(follow(createHealth(), 300, { ...won, 'score/real': NaN }), []);
});
