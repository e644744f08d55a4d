// Stories of a coordinator that has to go, of one that comes when all is done, and of workers that
// are let go and wanted again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStory, trainTogether } from '../../support/coordinator-story.js';

const asked = { kind: 'leaveAsked', reason: 'SIGTERM' } as const;

test('a coordinator that has to go leaves the run to the next one, and workers train on', () => {
  const story = createStory();
  trainTogether(story, ['w-0', 'w-1']);
  assert.deepEqual(story.happen(asked), ['notice: leaving: SIGTERM']);
  assert.deepEqual(story.wait(1_750), []);
  assert.deepEqual(story.wait(500), ['stepDown']);
  const { stage } = story.state;
  assert.ok(stage.kind === 'ended' && stage.ending.exitCode === 5);
  assert.match(stage.ending.reason, /asked to leave \(SIGTERM\), and the run goes on without it/);
});

test('where all workers have to go as well, the run is stopped with a checkpoint', () => {
  const story = createStory();
  trainTogether(story, ['w-0', 'w-1']);
  story.happen(asked);
  assert.deepEqual(story.is('w-0', 'training', { isLeaving: true }), [
    'vote -> w-0',
    'vote -> w-1',
  ]);
  assert.deepEqual(story.is('w-1', 'training', { isLeaving: true }), [
    'notice: stopping: all workers leave as well',
  ]);
  story.is('w-0', 'halted', { step: 3, isLeaving: true });
  assert.deepEqual(story.is('w-1', 'halted', { step: 3, isLeaving: true }), [
    'finish share 0/2 -> w-0',
    'finish share 1/2 -> w-1',
  ]);
  assert.deepEqual(story.wait(10_000).includes('stepDown'), false, 'it stays until that is done');
});

test('a coordinator without workers goes after a moment', () => {
  const story = createStory();
  story.happen(asked);
  assert.deepEqual(story.wait(2_500), ['stepDown']);
});

test('a run that is ending is ended first', () => {
  const story = createStory();
  trainTogether(story, ['w-0', 'w-1']);
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'halted', { step: 10 });
  story.happen(asked);
  assert.deepEqual(
    story.wait(10_000).filter((told) => told === 'stepDown'),
    [],
  );
});

test('a coordinator whose lease is lost leaves at once, and says why', () => {
  const story = createStory();
  trainTogether(story, ['w-0', 'w-1']);
  assert.deepEqual(story.happen({ kind: 'leaseLost', reason: 'b holds it' }), ['stepDown']);
  const { stage } = story.state;
  assert.ok(stage.kind === 'ended' && stage.ending.exitCode === 6);
  assert.equal(stage.ending.reason, 'the lease of the run is lost: b holds it');
  assert.deepEqual(story.is('w-0', 'halted'), [], 'it decides nothing any more');
});

test('a run whose last step is checkpointed has finished, and nobody is waited for long', () => {
  const story = createStory({ term: 2 }, 10);
  assert.deepEqual(story.wait(15_000), []);
  assert.deepEqual(story.wait(500), ['end 0: finished at step 10']);
});

test('a worker that is there is told that the run has finished', () => {
  const story = createStory({ term: 2 }, 10);
  story.hello('w-0');
  assert.deepEqual(story.wait(20_000), []);
  story.is('w-0', 'ready');
  const told = story.wait(10_000);
  assert.ok(told.includes('findCheckpoint'), told.join());
  story.happen({ kind: 'checkpointFound', step: 10, isStored: true });
  const { stage } = story.state;
  assert.ok(stage.kind === 'running' && stage.world.step === 10);
});

test('who was let go may come again when more are wanted', () => {
  const story = createStory({ worldSize: 3 });
  trainTogether(story, ['w-0', 'w-1', 'w-2']);
  story.happen({ kind: 'scaleAsked', workers: 2 });
  for (const worker of ['w-0', 'w-1', 'w-2']) story.is(worker, 'halted', { step: 2 });
  story.closes('w-2');
  story.hello('w-2', { incarnation: 2 });
  story.is('w-2', 'ready');
  assert.equal(story.state.workers.get('w-2')?.isDismissed, true, 'as long as two are wanted');
  story.closes('w-2');
  story.happen({ kind: 'scaleAsked', workers: 3 });
  story.hello('w-2', { incarnation: 3 });
  assert.equal(story.state.workers.get('w-2')?.isDismissed, false);
});
