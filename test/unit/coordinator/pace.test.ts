// Pace: images a second without the first step of a phase, and the time left.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPace } from '../../../coordinator/edge/pace.js';

test('steps that are told in a burst, after a coordinator came back, are not counted', () => {
  let ms = 0;
  const pace = createPace(16, () => ms);
  for (const number of [1, 2, 3]) pace.stepped(number, 'pixel', 0.1);
  assert.equal(pace.imagesPerSecond(), 0);
  ms += 100;
  pace.stepped(4, 'pixel', 0.1);
  assert.equal(pace.imagesPerSecond(), 160);
});

test('the first step of a phase is not counted', () => {
  let ms = 0;
  const pace = createPace(16, () => ms);
  const step = (number: number, phase: string, tookMs: number): void => {
    ms += tookMs;
    pace.stepped(number, phase, tookMs / 1000);
  };
  step(1, 'pixel', 5_000);
  assert.equal(pace.imagesPerSecond(), 0);
  step(2, 'pixel', 100);
  step(3, 'pixel', 100);
  step(4, 'adversarial', 9_000);
  step(5, 'adversarial', 200);
  assert.equal(pace.imagesPerSecond(), 120);
  assert.ok(pace.etaSeconds(15) >= 1 && pace.etaSeconds(15) <= 2);
  assert.equal(pace.etaSeconds(5), 0);
});
