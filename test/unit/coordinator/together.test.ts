// What comes together: deaths of several workers, and events that are decided on at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoordinatorEvent } from '../../../coordinator/core/state.js';
import { transition } from '../../../coordinator/core/transition.js';
import { createStory, trainTogether } from '../../support/coordinator-story.js';

const suspects = (...workers: readonly string[]) => ({
  suspicions: workers.map((worker) => ({ worker, reason: 'ended its stream' })),
});

test('two die together, and the second is not waited for once a peer has told of it', () => {
  const story = createStory({ worldSize: 4 });
  trainTogether(story, ['w-0', 'w-1', 'w-2', 'w-3']);
  story.closes('w-2');
  story.closes('w-3');
  const told = story.is('w-0', 'training', suspects('w-2'));
  assert.deepEqual(told.slice(1), ['abort -> w-0', 'abort -> w-1']);
  assert.deepEqual(story.is('w-0', 'halted'), []);
  const [lost, ...rest] = story.is('w-1', 'halted', suspects('w-2', 'w-3'));
  assert.match(lost ?? '', /^lost w-3: its session ended, and w-1 can't reach it/);
  assert.equal(rest[0], 'formed w-0 w-1 at step 0');
});

test('events that came together are all taken in before anything follows', () => {
  const story = createStory();
  trainTogether(story, ['w-0', 'w-1']);
  const status = (sequence: number, stage: 'entering' | 'training'): CoordinatorEvent => {
    const view = story.state.workers.get('w-0');
    const message = { kind: 'status', ...view!.status, sequence, stage } as const;
    return { kind: 'message', session: view!.session!, worker: 'w-0', message };
  };
  const stop = { kind: 'stopAsked', reason: 'asked' } as const;
  const told = transition(story.state, [status(90, 'entering'), stop, status(91, 'training')], 0);
  const orders = told.flatMap((effect) => (effect.kind === 'send' ? [effect.message.kind] : []));
  assert.deepEqual(orders, ['vote', 'vote']);
});
