// The time left, and the plain lines of progress, under a clock of the test's own.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  createEta,
  createProgress,
  formatDuration,
  lineIntervalMs,
  progressLine,
} from '../../../cli/progress.js';

test('durations have at most two units', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0 s'],
    [59.4, '59 s'],
    [59.6, '1 min'],
    [200, '3 min 20 s'],
    [3600, '1 h'],
    [3659, '1 h 1 min'],
    [90_000, '1 d 1 h'],
  ];
  for (const [seconds, expected] of cases) assert.equal(formatDuration(seconds), expected);
});

test('the time left follows the pace of the last minute, not that of the beginning', () => {
  const eta = createEta(1000);
  assert.equal(eta.secondsLeft(), undefined);
  eta.observe(0, 0);
  assert.equal(eta.secondsLeft(), undefined);
  for (let second = 1; second <= 10; second++) eta.observe(second * 10, second * 1000);
  assert.equal(eta.secondsLeft(), 90);
  for (let second = 11; second <= 110; second++) eta.observe(100 + (second - 10), second * 1000);
  assert.equal(eta.secondsLeft(), 800);
});

test('a flood of observations is thinned out and the estimate stays', () => {
  const eta = createEta(100_000);
  for (let i = 0; i <= 50_000; i++) eta.observe(i, i);
  const left = eta.secondsLeft() ?? 0;
  assert.ok(Math.abs(left - 50) < 0.5, String(left));
});

test('plain lines come at the start, every few seconds and at the end', () => {
  const lines: string[] = [];
  let nowMs = 0;
  const progress = createProgress({
    label: 'train',
    total: 100,
    mode: 'lines',
    print: (line) => lines.push(line),
    nowMs: () => nowMs,
  });
  for (let done = 1; done <= 100; done++) {
    nowMs += 200;
    progress.update(done, done === 100 ? 'loss 0.01' : '');
  }
  progress.close();
  progress.close();
  assert.equal(nowMs / lineIntervalMs, 4);
  assert.deepEqual(lines, [
    'train 1/100 (1%)',
    'train 26/100 (26%), 15 s left',
    'train 51/100 (51%), 10 s left',
    'train 76/100 (76%), 5 s left',
    'train 100/100 (100%), loss 0.01',
  ]);
});

test('for scripts nothing is printed', () => {
  const lines: string[] = [];
  const progress = createProgress({
    label: 'train',
    total: 2,
    mode: 'silent',
    print: (line) => lines.push(line),
  });
  progress.update(1);
  progress.print('a remark');
  progress.close();
  assert.deepEqual(lines, []);
});

test('a line without a pace has no time left, and nothing to do is all done', () => {
  assert.equal(progressLine('pack', 0, 10, undefined, ''), 'pack 0/10 (0%)');
  assert.equal(progressLine('pack', 0, 0, undefined, ''), 'pack 0/0 (100%)');
});
