// Failures of workers: which of them end the run, with which exit code, and which do not.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StepReport } from '../../../shared/control/messages.js';
import { generationOf } from '../../../shared/words.js';
import {
  createStory,
  createTraining,
  enterTogether,
  trainTogether,
  type Story,
} from '../../support/coordinator-story.js';

const failure = (sample: string, exitCode = 1) =>
  ({ kind: 'failure', reason: 'a broken picture', exitCode, sample }) as const;

/** The worker fails, and another process comes, into the next world: the answer to its hello. */
function failAndReturn(story: Story, worker: string, incarnation: number, sample = ''): string {
  story.says(worker, failure(sample));
  const [answer = ''] = story.hello(worker, { incarnation });
  story.is(worker, 'ready');
  const other = worker === 'w-0' ? 'w-1' : 'w-0';
  const both = [worker, ...(story.state.workers.has(other) ? [other] : [])];
  if (both.length > 1) story.is(other, 'halted');
  else story.happen({ kind: 'checkpointFound', step: 0, isStored: false });
  const { config, formed } = story.state;
  enterTogether(story, both, generationOf(config.term, formed), 0);
  return answer;
}

const report = (step: number): StepReport => ({
  ...{ kind: 'stepReport', step, phase: 'pixel', metrics: [], isSkipped: false },
  ...{ dataS: 0, computeS: 0, exchangeS: 0, updateS: 0 },
});

/** How the run is to end, in words; empty: it goes on. */
function endingOf({ state }: Story): string {
  return state.ending === undefined ? '' : `${state.ending.exitCode}: ${state.ending.reason}`;
}

/** All have lost their state: a world that starts from the checkpoint of `step`. */
function fallBack(story: Story, workers: readonly string[], incarnation: number, step = 0): void {
  for (const worker of workers) story.hello(worker, { incarnation });
  for (const worker of workers) story.is(worker, 'ready');
  story.happen({ kind: 'checkpointFound', step, isStored: step > 0 });
}

for (const [what, samples, exitCode] of [
  ['what fails three times', ['', '', ''], 1],
  ['data that three readings find spoiled', ['a', 'b', 'a'], 78],
  ['data and something else', ['a', '', 'a'], 1],
] as const)
  test(`${what} without a step between ends the run with ${exitCode}`, () => {
    const story = createStory();
    trainTogether(story, ['w-0', 'w-1']);
    failAndReturn(story, 'w-1', 2, samples[0]);
    failAndReturn(story, 'w-1', 3, samples[1]);
    assert.equal(endingOf(story), '');
    story.says('w-1', failure(samples[2]));
    assert.deepEqual(story.is('w-0', 'halted', { step: 0 }), ['finish share 0/1 -> w-0']);
    const words = `${exitCode}: w-1 failed: a broken picture (failure 3`;
    assert.ok(endingOf(story).startsWith(words), endingOf(story));
  });

test('steps that are done again are no progress: the third failure ends the run', () => {
  const story = createStory({ worldSize: 1 });
  trainTogether(story, ['w-0']);
  for (const [i, reached] of [4, 3].entries()) {
    for (let step = 1; step <= reached; step++) story.says('w-0', report(step));
    story.says('w-0', failure('a'));
    fallBack(story, ['w-0'], i + 2);
    assert.equal(story.state.newestStep, 0);
    assert.equal(endingOf(story), '');
  }
  for (let step = 1; step <= 4; step++) story.says('w-0', report(step));
  story.says('w-0', failure('a'));
  assert.match(endingOf(story), /^78: .*\(failure 3 without a new step between them\)/);
});

test('a step that was never done before is progress', () => {
  const story = createStory();
  trainTogether(story, ['w-0', 'w-1']);
  for (let life = 1; life <= 6; life++) {
    failAndReturn(story, 'w-1', life + 1);
    story.says('w-0', report(life));
  }
  assert.equal(endingOf(story), '');
});

test('a worker that alone can not use its samples stays out after the third time', () => {
  const story = createStory();
  trainTogether(story, ['w-0', 'w-1']);
  failAndReturn(story, 'w-1', 2, 'a');
  story.says('w-0', report(3));
  failAndReturn(story, 'w-0', 2, 'a');
  story.says('w-0', report(6));
  failAndReturn(story, 'w-1', 3);
  story.says('w-0', report(8));
  assert.equal(failAndReturn(story, 'w-1', 4, 'b'), 'welcome -> w-1');
  story.says('w-0', report(9));
  const refused = failAndReturn(story, 'w-1', 5, 'c');
  assert.match(refused, /^dismiss \d+ with \d+: .*its copy of the dataset is another one/);
  assert.equal(story.hello('w-2')[0], 'welcome -> w-2', 'another worker is not meant');
  assert.equal(endingOf(story), '', 'and the run goes on');
});

test('a worker that can not use its samples ends the run when there is no other', () => {
  const story = createStory({ worldSize: 1 });
  trainTogether(story, ['w-0']);
  for (const [i, sample] of ['a', 'b', 'c'].entries()) {
    assert.equal(endingOf(story), '');
    story.says('w-0', report(i + 1));
    failAndReturn(story, 'w-0', i + 2, sample);
  }
  assert.match(endingOf(story), /^78: w-0 failed: .*failure 3 at samples, with no other worker/);
});

test('a mistake of a member that has trained ends the run with its exit code', () => {
  const story = createTraining();
  story.is('w-1', 'training', { step: 1 });
  story.says('w-1', failure('', 78));
  assert.equal(endingOf(story), '78: w-1 failed: a broken picture');
});

test('a newcomer whose mistake shows only in its first step does not end the run', () => {
  const story = createTraining();
  story.is('w-0', 'training', { step: 1 });
  story.says('w-1', failure('', 78));
  assert.equal(endingOf(story), '');
  assert.equal(story.is('w-0', 'halted', { step: 1 })[0], 'formed w-0 at step 1');
});

test('a mistake of all that shows only in the first step ends the run soon', () => {
  const story = createTraining();
  for (const worker of ['w-0', 'w-1']) story.says(worker, failure('', 78));
  const end = story.wait(4_000, []).find((line) => line.startsWith('end'));
  assert.equal(end, 'end 78: w-1 failed: a broken picture; nothing was checkpointed');
});

test('before the first world a mistake of all that were wanted ends the run soon', () => {
  const story = createStory();
  for (const worker of ['w-0', 'w-1']) story.hello(worker);
  assert.deepEqual(story.says('w-0', failure('', 78)), ['notice: w-0 failed: a broken picture']);
  story.says('w-1', failure('', 78));
  const end = story.wait(3_000, []).at(-1);
  assert.equal(end, 'end 78: w-1 failed: a broken picture; nothing was checkpointed');
});

test('a run that goes on gives its own workers time to come before a mistake of others', () => {
  const story = createStory({ worldSize: 1 }, 12);
  story.hello('x');
  story.says('x', failure('', 78));
  assert.deepEqual(story.wait(6_500, []), []);
  const [end = ''] = story.wait(1_000, []);
  assert.equal(end, 'end 78: x failed: a broken picture; the run can be resumed from step 12');
});

test('one that was well and is gone may come again: mistakes of others end nothing', () => {
  const story = createStory({ worldSize: 1 });
  story.hello('w-0');
  story.is('w-0', 'ready');
  story.hello('x');
  story.says('x', failure('', 78));
  story.closes('w-0');
  assert.equal(story.wait(20_000, []).filter((line) => line.startsWith('end')).length, 0);
});

test('before the first world those that are well begin without one that made a mistake', () => {
  const story = createStory();
  for (const worker of ['w-0', 'w-1']) story.hello(worker);
  story.is('w-0', 'ready');
  assert.ok(story.says('w-1', failure('', 78)).includes('findCheckpoint'));
  const answer = story.happen({ kind: 'checkpointFound', step: 0, isStored: false });
  assert.equal(answer[0], 'formed w-0 at step 0');
});

test('before the first world what fails three times ends the run, when nobody else is there', () => {
  const story = createStory();
  story.hello('w-0');
  for (let incarnation = 1; incarnation <= 3; incarnation++) {
    story.hello('w-1', { incarnation });
    story.says('w-1', failure(''));
  }
  assert.equal(story.state.stage.kind, 'gathering');
  const [end = ''] = story.closes('w-0');
  assert.match(end, /^end 1: w-1 failed: a broken picture \(failure 3/);
});

test('what keeps a newcomer out of a world that is there is its own end', () => {
  const story = createTraining();
  story.is('w-0', 'training', { step: 1 });
  for (const exitCode of [78, 1, 1, 1, 1]) {
    story.hello('new');
    assert.deepEqual(story.says('new', failure('a', exitCode)), [
      'notice: new failed: a broken picture',
    ]);
  }
  assert.equal(endingOf(story), '');
  assert.deepEqual(story.wait(10_000, ['w-0', 'w-1']), []);
});

test('places are forgotten when there are too many', () => {
  const story = createStory();
  trainTogether(story, ['w-0', 'w-1']);
  for (let step = 1; step < 3000; step++) {
    failAndReturn(story, 'w-1', step + 1, `sample ${step}`);
    story.says('w-0', report(step));
  }
  assert.ok(story.state.failures.size <= 1000);
});
