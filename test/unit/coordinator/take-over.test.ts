// Stories of a coordinator that takes a run over: from workers that train on, from some that were
// left behind, and from a coordinator that came after it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generationOf } from '../../../shared/words.js';
import { createStory, statusIn, worldOf } from '../../support/coordinator-story.js';

const suspects = (worker: string) => ({ suspicions: [{ worker, reason: 'ended its stream' }] });

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
  const told = story.is('w-0', 'training', suspects('w-2'));
  assert.match(told[0] ?? '', /^lost w-2: it was silent for 60\.\d s, and w-0 can't reach it/);
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
  const told = story.wait(10_000);
  assert.ok(told.includes('findCheckpoint'), told.join());
  assert.match(
    story.happen({ kind: 'checkpointFound', step: 4, isStored: true })[0] ?? '',
    /^formed w-0 at step 4/,
  );
});

test('a coordinator steps down when a worker knows of a later one', () => {
  const story = createStory();
  assert.deepEqual(story.hello('w-0', { term: 7 }), ['stepDown']);
  assert.deepEqual(story.hello('w-1'), []);
});

test('a coordinator that takes over a run without a world waits for few seconds', () => {
  const story = createStory({ term: 2 }, 4);
  story.hello('w-0');
  story.is('w-0', 'ready');
  assert.ok(story.wait(6_000).includes('findCheckpoint'));
});
