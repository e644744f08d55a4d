// When a run has ended under faults, well or badly, and what the faults cost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  costOf,
  goneMs,
  judgeEnd,
  noProgress,
  observeProgress,
  stallMs,
  strikeProgress,
  type EndEvidence,
  type RunProgress,
} from '../../../cli/chaos/recovery.js';
import { spreadOf } from '../../../cli/chaos/summary.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import type { RunStatus } from '../../../shared/control/admin.js';
import { statusOf } from './run-status.js';

const nowMs = 1_000_000;

function judge(status: RunStatus | undefined, evidence: Partial<EndEvidence> = {}) {
  const known = { atMs: nowMs - 100, status: statusOf() };
  const whole = { known, progressMs: nowMs - 100, isFinished: false, isAlive: true, ...evidence };
  return judgeEnd({ atMs: nowMs, status }, whole)?.kind;
}

test('a run ends well when it says so, or when its last checkpoint is there', () => {
  const ended = (exitCode: number) => statusOf({ stage: 'ended', exitCode });
  assert.equal(judge(ended(exitCodes.ok)), 'ended');
  assert.equal(judge(ended(exitCodes.stopped)), 'ended');
  assert.equal(judge(ended(exitCodes.workerLost)), 'failed');
  assert.equal(judge(undefined, { isFinished: true }), 'ended');
});

test('a coordinator that stepped down or is away is not the end of the run', () => {
  assert.equal(judge(statusOf({ stage: 'ended', exitCode: exitCodes.superseded })), undefined);
  assert.equal(judge(undefined), undefined);
  assert.equal(judge(undefined, { isAlive: false }), undefined);
  const known = { atMs: nowMs - goneMs - 1, status: statusOf() };
  assert.equal(judge(undefined, { isAlive: false, known }), 'failed');
});

test('a run without a step for a minute has failed, but for one that stores its last state', () => {
  const progressMs = nowMs - stallMs - 1;
  assert.equal(judge(statusOf(), { progressMs }), 'failed');
  assert.equal(judge(undefined, { progressMs }), 'failed');
  assert.equal(judge(statusOf({ stage: 'finishing' }), { progressMs }), undefined);
});

test('goodput compares with the pace before the first fault, and steps done twice count once', () => {
  let progress: RunProgress = noProgress;
  const see = (atMs: number, step: number): void => {
    progress = observeProgress(progress, { atMs, status: statusOf({ step }) });
  };
  see(0, 100);
  see(500, 102);
  see(1_000, 104);
  see(1_500, 106);
  progress = strikeProgress(progress, 2_000);
  progress = strikeProgress(progress, 3_000);
  see(3_000, 110);
  see(4_000, 104);
  see(6_000, 114);
  const { steps, seconds, calmStepsPerS, goodput } = costOf(progress, 6_000);
  assert.deepEqual([steps, seconds, calmStepsPerS, goodput], [8, 4, 4, 0.5]);
  assert.equal(costOf(noProgress, 10).goodput, undefined);
});

test('median and worst', () => {
  assert.deepEqual(spreadOf([3, undefined, 1]), { median: 2, worst: 3 });
  assert.deepEqual(spreadOf([5, 1, 2]), { median: 2, worst: 5 });
  assert.equal(spreadOf([undefined]), undefined);
});
