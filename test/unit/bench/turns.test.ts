// What benches in turns share: the order, the ratio, a peer's last line. Programs are real ones.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { runPeer } from '../../../bench/peers/run-peer.js';
import { precisionTable } from '../../../bench/turns/precision-study.js';
import { inTurns, markdownTable, medianRatio } from '../../../bench/turns/turns.js';
import { combinations, trainingTable } from '../../../bench/turns/training-turns.js';
import { eachInRange, numberList, rangeProblems } from '../../../cli/number-ranges.js';

test('every contender runs once a round, in order', async () => {
  const order: string[] = [];
  const results = await inTurns(['a', 'b'], 2, (name, round) => {
    order.push(`${name}${round}`);
    return Promise.resolve(`${name}${round}`);
  });
  assert.deepEqual(order, ['a0', 'b0', 'a1', 'b1']);
  assert.deepEqual(results, [
    ['a0', 'a1'],
    ['b0', 'b1'],
  ]);
});

test('a ratio is the median of the ratios of the rounds, not the ratio of the medians', () => {
  // By round 2, 1 and 4; the medians are 20 and 10.
  assert.equal(medianRatio([20, 10, 40], [10, 10, 10]), 2);
  assert.equal(medianRatio([2, 30, 4], [1, 10, 4]), 2);
  assert.equal(medianRatio([1], undefined), undefined);
});

test('a table has its heading, a rule and a line a row', () => {
  const text = markdownTable([
    ['a', 'b'],
    ['1', '2'],
  ]);
  assert.equal(text, '| a | b |\n| --- | --- |\n| 1 | 2 |');
});

const program = (script: string): string[] => [process.execPath, '-e', script, '--'];

test('a peer is given the counts as flags, and its last line counts', async () => {
  const script =
    'console.log("hello"); console.log(JSON.stringify({ args: process.argv.slice(1) }))';
  const { args } = await runPeer(
    program(script),
    { workers: 2, 'warm-up': 3 },
    z.object({ args: z.array(z.string()) }),
  );
  assert.deepEqual(args, ['--workers', '2', '--warm-up', '3']);
});

test('a peer that fails, or says something else, is an error with what it said', async () => {
  const schema = z.object({ step_s: z.number() });
  await assert.rejects(
    runPeer(program('console.error("no torch here"); process.exit(1)'), {}, schema),
    /no torch here/,
  );
  await assert.rejects(runPeer(program('console.log("{}")'), {}, schema), /step_s/);
});

test('a list of numbers is held to its range number by number', () => {
  const problems = rangeProblems(eachInRange('--workers', numberList('2,x,17,,4'), 2, 16));
  assert.deepEqual(
    problems.map(({ key }) => key),
    ['--workers NaN', '--workers 17'],
  );
});

test('there is a contender for each combination of keys, and one without any', () => {
  assert.deepEqual(combinations({}), [[]]);
  assert.deepEqual(combinations({ a: ['1', '2'], b: ['x', 'y'] }), [
    ['a=1', 'b=x'],
    ['a=1', 'b=y'],
    ['a=2', 'b=x'],
    ['a=2', 'b=y'],
  ]);
});

test('a peer has no figures of the exchange in the table', () => {
  const none = { exchange_s: undefined, update_s: undefined, sent_mib: undefined };
  const peer = { contender: 'peer', rounds: [4, 6], images_per_s: 5, step_s: 3.2, cpu_s: 5 };
  const table = trainingTable([{ ...peer, ...none, ratio: 1, cpu_ratio: 1 }]);
  assert.equal(
    table.split('\n').at(-1),
    '| peer | 4.00, 6.00 | 5.00 | 1.00 | 3.20 | 5.00 | 1.00 |  |  |',
  );
});

test('the table of a study has the mean of the seeds as its last row', () => {
  const row = (seed: number, reference: number, other: number) => {
    const difference = other - reference;
    return {
      ...{ seed, reference_db: reference, db: other, difference_db: difference },
      ...{ bicubic_db: 25, faces: 12 },
    };
  };
  const rows = [row(1, 26, 26.02), row(2, 27, 26.96)];
  const table = precisionTable(rows, { precision: 'bfloat16', factored: 'auto' });
  assert.deepEqual(table.split('\n').slice(2), [
    '| 1 | 26.000 | 26.020 | +0.020 |',
    '| 2 | 27.000 | 26.960 | -0.040 |',
    '| mean | 26.500 | 26.490 | -0.010 |',
  ]);
});
