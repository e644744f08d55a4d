// Which checkpoint is the best one, and which stay for it: evaluations and checkpoints in any order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createContest,
  forgetAbove,
  noteCheckpoint,
  noteEvaluation,
  stepsToKeep,
  type ContestRules,
} from '../../../coordinator/core/best.js';
import { createStory, trainTogether } from '../../support/coordinator-story.js';
import type { EvaluationReport, WorkerMessage } from '../../../shared/control/messages.js';

const evaluation = (step: number, values: Partial<EvaluationReport>): EvaluationReport => ({
  ...{ kind: 'evaluation', step, psnr: 0, ssim: 0, bicubicPsnr: 0, bicubicSsim: 0 },
  ...{ faces: 1, sampleKey: '', seconds: 0, ...values },
});
const contestOf = (change: Partial<ContestRules> = {}, savedStep?: number) =>
  createContest({ metric: 'psnr', everySteps: 10, known: undefined, ...change }, savedStep);

test('the highest PSNR wins, whichever of checkpoint and evaluation comes first', () => {
  const contest = contestOf();
  assert.equal(noteCheckpoint(contest, 10), false);
  assert.equal(noteEvaluation(contest, evaluation(10, { psnr: 20 })), true);
  assert.equal(noteEvaluation(contest, evaluation(20, { psnr: 25 })), false);
  assert.deepEqual(contest.best, { step: 10, metric: 'psnr', value: 20 });
  assert.equal(noteCheckpoint(contest, 20), true);
  noteCheckpoint(contest, 30);
  assert.equal(noteEvaluation(contest, evaluation(30, { psnr: 25 })), false, 'equals stay');
  assert.deepEqual(contest.best, { step: 20, metric: 'psnr', value: 25 });
  assert.deepEqual(stepsToKeep(contest), [20]);
});

test('of identity distances the least wins, and one that is missing or no number is none', () => {
  const contest = contestOf({ metric: 'identity' });
  for (const [step, identity] of [
    [10, undefined],
    [20, 0.4],
    [30, 0.2],
    [40, NaN],
    [50, 0.3],
  ] as const) {
    noteCheckpoint(contest, step);
    noteEvaluation(contest, evaluation(step, { psnr: step, identity }));
  }
  assert.deepEqual(contest.best, { step: 30, metric: 'identity', value: 0.2 });
});

test('checkpoints wait for their evaluation, a few, and not once a later one has come', () => {
  const contest = contestOf();
  for (const step of [10, 15, 20, 30, 40, 50, 60]) noteCheckpoint(contest, step);
  assert.deepEqual(stepsToKeep(contest), [30, 40, 50, 60], 'and 15 is not evaluated');
  noteEvaluation(contest, evaluation(50, { psnr: 1 }));
  assert.deepEqual(stepsToKeep(contest), [50, 60]);
  for (let step = 100; step < 300; step++) noteEvaluation(contest, evaluation(step, { psnr: 9 }));
  assert.ok(contest.evaluated.size <= 8);
});

test('the last checkpoint is judged whatever its step', () => {
  const contest = contestOf();
  noteCheckpoint(contest, 10);
  noteEvaluation(contest, evaluation(10, { psnr: 20 }));
  for (const step of [13, 17]) noteCheckpoint(contest, step);
  assert.deepEqual(stepsToKeep(contest), [10, 17]);
  assert.equal(noteEvaluation(contest, evaluation(17, { psnr: 21 })), true);
});

test('what is above a step that the run goes back to counts no more', () => {
  const contest = contestOf();
  for (const step of [10, 20, 30]) {
    noteCheckpoint(contest, step);
    if (step < 30) noteEvaluation(contest, evaluation(step, { psnr: step }));
  }
  forgetAbove(contest, 20);
  assert.deepEqual(stepsToKeep(contest), [20]);
  forgetAbove(contest, 10);
  assert.equal(contest.best, undefined);
});

test('one that takes over knows the best, and that the newest may yet be judged', () => {
  const known = { step: 10, metric: 'psnr', value: 30 } as const;
  const contest = contestOf({ known }, 20);
  assert.deepEqual(stepsToKeep(contest), [10, 20]);
  noteEvaluation(contest, evaluation(20, { psnr: 29 }));
  assert.deepEqual(stepsToKeep(contest), [10]);
  assert.equal(noteEvaluation(contest, evaluation(10, { psnr: 30 })), false);
});

test('a story: manifests say what stays, and a better one is noted', () => {
  const story = createStory({
    worldSize: 1,
    best: { metric: 'psnr', everySteps: 2, known: undefined },
  });
  trainTogether(story, ['w-0']);
  const part: WorkerMessage = {
    ...{ kind: 'partStored', step: 0, name: 'g', file: 'g.safetensors', bytes: 8 },
    ...{ sha256: 'a'.repeat(64), stateDigest: '0'.repeat(16) },
  };
  const store = (step: number): string[] => {
    story.says('w-0', { ...part, step });
    const report = { parametersSha256: 'a'.repeat(64), updates: {}, skippedInARow: 0 };
    const told = story.says('w-0', { kind: 'snapshot', step, parts: ['g'], ...report });
    const digest = { kind: 'digest', step, value: '0'.repeat(16), isWhole: true } as const;
    const { generation } = [...story.state.workers.values()][0].status;
    return [...told, ...story.says('w-0', { ...digest, generation })];
  };
  const judge = (step: number, psnr: number) => story.says('w-0', evaluation(step, { psnr }));
  assert.deepEqual(store(2), ['manifest 2: g']);
  story.happen({ kind: 'manifestStored', step: 2 });
  assert.deepEqual(judge(2, 28), ['evaluation 2', 'best 2: psnr 28']);
  assert.deepEqual(judge(4, 27), ['evaluation 4']);
  assert.deepEqual(store(4), ['manifest 4: g, keep 2']);
  story.happen({ kind: 'manifestStored', step: 4 });
  judge(6, 29);
  assert.deepEqual(store(6), ['manifest 6: g, keep 2']);
  const told = story.happen({ kind: 'manifestStored', step: 6 });
  assert.ok(told.includes('best 6: psnr 29'));
});
