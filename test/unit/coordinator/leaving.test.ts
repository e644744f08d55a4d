// Coordinators that come and go: one that has to leave, one that takes over a run, and workers that
// are let go and wanted again. And what comes together: deaths, and events decided on at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoordinatorEvent } from '../../../coordinator/core/state.js';
import { transition } from '../../../coordinator/core/transition.js';
import { generationOf } from '../../../shared/words.js';
import {
  createStory,
  createTraining,
  statusIn,
  suspects,
  worldOf,
} from '../../support/coordinator-story.js';

const asked = { kind: 'leaveAsked', reason: 'SIGTERM' } as const;

test('a coordinator that has to go leaves the run to the next one, and workers train on', () => {
  const story = createTraining();
  assert.deepEqual(story.happen(asked), ['notice: leaving: SIGTERM']);
  assert.deepEqual(story.wait(1_750), []);
  assert.deepEqual(story.wait(500), ['stepDown']);
  const { stage } = story.state;
  assert.ok(stage.kind === 'ended' && stage.ending.exitCode === 5);
  assert.match(stage.ending.reason, /asked to leave \(SIGTERM\), and the run goes on without it/);
});

test('where all workers have to go as well, the run is stopped with a checkpoint', () => {
  const story = createTraining();
  story.happen(asked);
  const answer = story.is('w-0', 'training', { isLeaving: true });
  assert.deepEqual(answer, ['vote -> w-0', 'vote -> w-1']);
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
  const story = createTraining();
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'halted', { step: 10 });
  story.happen(asked);
  assert.ok(!story.wait(10_000).includes('stepDown'));
});

test('a coordinator whose lease is lost leaves at once, and says why', () => {
  const story = createTraining();
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

test('a worker that is there learns that the run has finished', () => {
  const story = createStory({ term: 2 }, 10);
  story.hello('w-0');
  assert.deepEqual(story.wait(20_000), []);
  story.is('w-0', 'ready');
  const answer = story.wait(10_000);
  assert.ok(answer.includes('findCheckpoint'), answer.join());
  story.happen({ kind: 'checkpointFound', step: 10, isStored: true });
  const { stage } = story.state;
  assert.ok(stage.kind === 'running' && stage.world.step === 10);
});

test('who was let go may come again when more are wanted', () => {
  const story = createTraining(3);
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

test('a coordinator that takes over adopts the world, and nobody pauses', () => {
  const story = createStory({ term: 2 }, 4);
  const generation = generationOf(1, 3);
  const world = worldOf(generation, ['w-0', 'w-1', 'w-2'], 2);
  const status = { ...statusIn(generation), step: 5 };
  for (const worker of ['w-0', 'w-1'])
    assert.deepEqual(story.hello(worker, { term: 1, world, status }), [
      `welcome -> ${worker}`,
      `checkpointed -> ${worker}`,
    ]);
  // The third can't be heard; nobody complains of it.
  assert.deepEqual(story.wait(60_000), []);
  const [first = ''] = story.is('w-0', 'training', suspects('w-2'));
  assert.match(first, /^lost w-2: it was silent for 60\.\d s, and w-0 can't reach it/);
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'halted', { step: 9 });
  assert.equal(story.state.stage.kind, 'running');
  assert.equal('world' in story.state.stage && story.state.stage.world.generation, 2 * 2 ** 20 + 1);
});

test('a coordinator that takes over does not let one that was left behind lead the way', () => {
  const story = createStory({ term: 2 }, 4);
  const [old, present] = [generationOf(1, 3), generationOf(1, 4)];
  const halted = { ...statusIn(old), stage: 'halted' as const, step: 2 };
  story.hello('w-0', { term: 1, world: worldOf(old, ['w-0', 'w-1']), status: halted });
  assert.deepEqual(story.wait(1_000), []);
  const world = worldOf(present, ['w-1', 'w-2'], 4);
  for (const worker of ['w-1', 'w-2'])
    story.hello(worker, { term: 1, world, status: { ...statusIn(present), step: 7 } });
  assert.deepEqual(story.wait(2_000), ['vote -> w-1', 'vote -> w-2']);
  story.is('w-1', 'halted', { step: 8 });
  assert.equal(story.is('w-2', 'halted', { step: 7 })[0], 'formed w-0 w-1 w-2 at step 8');
});

test('a world does not start below the newest checkpoint', () => {
  const story = createStory({ term: 2 }, 4);
  const old = generationOf(1, 3);
  const halted = { ...statusIn(old), stage: 'halted' as const, step: 2 };
  story.hello('w-0', { term: 1, world: worldOf(old, ['w-0', 'w-1']), status: halted });
  const answer = story.wait(10_000);
  assert.ok(answer.includes('findCheckpoint'), answer.join());
  const [first = ''] = story.happen({ kind: 'checkpointFound', step: 4, isStored: true });
  assert.match(first, /^formed w-0 at step 4/);
});

test('a coordinator steps down when a worker knows of a later one, and the store confirms it', () => {
  const story = createStory();
  assert.deepEqual(story.hello('w-0', { term: 7 }), ['askForTerm']);
  const answer = story.happen({ kind: 'newestTerm', term: 2, askedMs: story.now() });
  assert.deepEqual(answer, ['stepDown']);
  assert.deepEqual(story.hello('w-1'), []);
});

test('a coordinator that takes over a run without a world waits for few seconds', () => {
  const story = createStory({ term: 2 }, 4);
  story.hello('w-0');
  story.is('w-0', 'ready');
  assert.ok(story.wait(6_000).includes('findCheckpoint'));
});

test('two die together, and the second is not waited for once a peer has reported it', () => {
  const story = createTraining(4);
  story.closes('w-2');
  story.closes('w-3');
  const answer = story.is('w-0', 'training', suspects('w-2'));
  assert.deepEqual(answer.slice(1), ['abort -> w-0', 'abort -> w-1']);
  assert.deepEqual(story.is('w-0', 'halted'), []);
  const [lost, ...rest] = story.is('w-1', 'halted', suspects('w-2', 'w-3'));
  assert.match(lost ?? '', /^lost w-3: its session ended, and w-1 can't reach it/);
  assert.equal(rest[0], 'formed w-0 w-1 at step 0');
});

test('events that came together are all taken in before anything follows', () => {
  const story = createTraining();
  const status = (sequence: number, stage: 'entering' | 'training'): CoordinatorEvent => {
    const view = story.state.workers.get('w-0');
    const message = { kind: 'status', ...view!.status, sequence, stage } as const;
    return { kind: 'message', session: view!.session!, worker: 'w-0', message };
  };
  const stop = { kind: 'stopAsked', reason: 'asked' } as const;
  const events = [status(90, 'entering'), stop, status(91, 'training')];
  const orders = transition(story.state, events, 0).flatMap((effect) =>
    effect.kind === 'send' ? [effect.message.kind] : [],
  );
  assert.deepEqual(orders, ['vote', 'vote']);
});
