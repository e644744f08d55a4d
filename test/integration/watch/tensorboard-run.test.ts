// TensorBoard reads a run that went back: of each step the values that count, and no other.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { runPython, skipWithoutPython } from '../../python/run-python.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';
import { WatchedRun } from '../../support/watched-run.js';

const folder = testFolder();
const skip = skipWithoutPython('tensorboard');
const evaluation = { everySteps: 6, faces: 2, limit: 3 };

before(() => writeRuns(folder, { board: { steps: 24, evaluation } }));

test('TensorBoard has each step of a run once, also of those done again', { skip }, async () => {
  const args = ['train', '-f', 'board.yaml', '--run', 'board', '--workers', '1'];
  const run = new WatchedRun({ args, cwd: folder, limitMs: 120_000 });
  // Behind the checkpoint of step 8: the only worker takes what it has done since with it.
  await run.step(10);
  await run.signal('worker-0', 'SIGKILL');
  await run.line('rollback');
  const { code, said } = await run.end();
  assert.equal(code, exitCodes.ok, said);

  const logdir = join(folder, 'runs/board/tensorboard');
  const { accumulated } = (await runPython('tensorboard_reader.py', {
    ...{ logdir, server: false },
  })) as {
    readonly accumulated: {
      readonly scalars: Readonly<Record<string, readonly (readonly [number, number])[]>>;
      readonly images: { readonly samples: readonly (readonly [number, string])[] };
    };
  };
  const lines = run.lines.filter(({ kind }) => kind === 'step').map(({ line }) => line);
  assert.ok(lines.length > 24, 'no step was taken again');
  const tags = new Set(lines.flatMap(({ metrics }) => Object.keys(metrics as object)));
  assert.ok(tags.size >= 8, [...tags].join());
  for (const tag of tags) {
    const told = new Map<number, number>();
    for (const { step, metrics } of lines) {
      const value = (metrics as Readonly<Record<string, number>>)[tag];
      if (value !== undefined) told.set(Number(step), Math.fround(value));
    }
    const read = accumulated.scalars[tag]?.map(([step, value]) => [step, Math.fround(value)]);
    assert.deepEqual(read, [...told], tag);
  }
  const evaluations = run.lines.filter(({ kind }) => kind === 'evaluation');
  const sums = new Map<number, string>();
  for (const { line } of evaluations) {
    const png = readFileSync(join(folder, 'runs/board', String(line['sample_key'])));
    sums.set(Number(line['step']), createHash('sha256').update(png).digest('hex'));
  }
  assert.deepEqual(
    accumulated.images.samples.map(([step, sum]) => [step, sum]),
    [...sums],
  );
  assert.ok(sums.size >= 2, 'there are pictures');
});
