// Medians, worst cases and the block of the page that the figures of the fault matrix go into.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median } from '../../../shared/median.js';
import { createDice } from '../../reliability/fault-case.js';
import {
  describeFigures,
  medianAndWorst,
  replaceFigures,
  type Figures,
} from '../../reliability/figures.js';
import { standstillOf } from '../../reliability/kills.js';

const figures: Figures = {
  cases: [
    { fault: 'killed', outcomes: [{ foundMs: 100, goneOnMs: 400 }] },
    { fault: 'stored', outcomes: [{}] },
    { fault: 'killed', outcomes: [{ foundMs: 50, goneOnMs: 1200 }, { foundMs: 90 }] },
  ],
  kills: {
    ...{ outcomes: [{ foundMs: 30 }], everyS: 2, workers: 3, steps: 100, goodput: 0.704 },
    seconds: { disturbed: 9, undisturbed: 8 },
  },
  ...{ seed: 7, machine: '2 cores', node: 'v20.0.0', date: '2026-01-02', stepS: 0.0251 },
};

test('the median is the value in the middle, or the mean of the two there', () => {
  assert.equal(median([3]), 3);
  assert.equal(median([9, 1, 4]), 4);
  assert.equal(median([9, 1, 4, 5]), 4.5);
});

test('what is not known is left out of median and worst case', () => {
  assert.equal(medianAndWorst([undefined, 100, 300, 1_250]), '0.30 / 1.25 s');
  assert.equal(medianAndWorst([undefined]), '-');
});

test('a run stands still from the last step before a new world to the first one after it', () => {
  const told: [string, number][] = [
    ...([
      ['world', 0],
      ['step', 100],
      ['step', 200],
      ['world', 250],
      ['world', 300],
    ] as const),
    ...([
      ['step', 900],
      ['step', 1000],
      ['lost', 1001],
      ['step', 1100],
    ] as const),
  ].map(([kind, atMs]) => [kind, atMs]);
  assert.equal(standstillOf(told.map(([kind, atMs]) => ({ kind, atMs, line: {} }))), 0.7);
});

test('the cases of one fault are one row, and the kills another', () => {
  const rows = describeFigures(figures).split('\n');
  assert.ok(rows.includes('| killed | 2 | 0.09 / 0.10 s | 0.80 / 1.20 s |'), rows.join('\n'));
  assert.ok(rows.includes('| stored | 1 | - | - |'));
  assert.ok(rows.includes('| 1 kills in one run, one every 2 s | 1 | 0.03 / 0.03 s | - |'));
  assert.ok(rows.some((row) => row.includes('70 % of the time was useful')));
});

test('the figures of a page are replaced, and nothing else', () => {
  const block = describeFigures(figures);
  const page = `# Title\n\n${describeFigures({ ...figures, seed: 1 })}\n\n## After\n`;
  assert.equal(replaceFigures(page, block), `# Title\n\n${block}\n\n## After\n`);
  assert.equal(replaceFigures('# Title\n', block), `# Title\n\n${block}\n`);
});

test('dice give the same choices for the same seed, and others for another case', () => {
  const roll = (seed: number, name: string): number[] => {
    const dice = createDice(seed, name);
    return Array.from({ length: 20 }, () => dice.between(3, 9));
  };
  assert.deepEqual(roll(1, 'a'), roll(1, 'a'));
  assert.notDeepEqual(roll(1, 'a'), roll(1, 'b'));
  assert.notDeepEqual(roll(1, 'a'), roll(2, 'a'));
  assert.ok(roll(1, 'a').every((value) => value >= 3 && value <= 9));
});
