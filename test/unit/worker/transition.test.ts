// Stories of a worker's core: joining, training, giving up, leaving.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoordinatorMessage } from '../../../shared/control/messages.js';
import {
  initialWorkerState,
  type WorkerEffect,
  type WorkerEvent,
  type WorkerState,
} from '../../../worker/core/state.js';
import { transition } from '../../../worker/core/transition.js';

const member = { worker: 'w-0', incarnation: 7, address: '127.0.0.1:1' };
const world: CoordinatorMessage = {
  kind: 'world',
  generation: 1,
  members: [
    { rank: 0, worker: 'w-9', incarnation: 1, address: '127.0.0.1:2' },
    { rank: 1, ...member },
  ],
  step: 4,
  until: 9,
};
const welcome: CoordinatorMessage = {
  kind: 'welcome',
  runUrl: 'file://runs/a',
  record: '{}',
  heartbeatMs: 500,
};

function createStory() {
  let state: WorkerState = initialWorkerState({ ...member, fingerprint: 'onnx/1/cpu' });
  const happen = (event: WorkerEvent): string[] => {
    const decision = transition(state, event);
    state = decision.state;
    return decision.effects.map(describe);
  };
  return { happen, hears: (message: CoordinatorMessage) => happen({ kind: 'message', message }) };
}

function describe(effect: WorkerEffect): string {
  switch (effect.kind) {
    case 'send': {
      const { kind, ...fields } = effect.message;
      return `say ${kind} ${JSON.stringify(fields)}`;
    }
    case 'prepare':
      return `prepare rank ${effect.rank} of ${effect.worldSize} from ${effect.step}`;
    case 'save':
      return `save ${effect.step} share ${effect.share}/${effect.shares}`;
    case 'end':
      return `end ${effect.exitCode}: ${effect.reason}`;
    default:
      return effect.kind;
  }
}

function training() {
  const story = createStory();
  story.happen({ kind: 'sessionOpened' });
  story.hears(welcome);
  story.hears(world);
  story.happen({ kind: 'prepared' });
  story.hears({ kind: 'connect', generation: 1 });
  story.happen({ kind: 'joined' });
  return story;
}

test('a worker greets, prepares for its rank, connects and trains, in this order', () => {
  const story = createStory();
  assert.match(story.happen({ kind: 'sessionOpened' })[0] ?? '', /^say hello .*"w-0"/);
  assert.deepEqual(story.hears(welcome), []);
  assert.deepEqual(story.hears(world), ['prepare rank 1 of 2 from 4']);
  assert.deepEqual(story.happen({ kind: 'prepared' }), ['say prepared {"generation":1}']);
  assert.deepEqual(story.hears({ kind: 'connect', generation: 2 }), []);
  assert.deepEqual(story.hears({ kind: 'connect', generation: 1 }), ['join']);
  assert.deepEqual(story.happen({ kind: 'joined' }), ['train']);
});

test('a world of an earlier life of the same worker is not its own', () => {
  const story = createStory();
  story.happen({ kind: 'sessionOpened' });
  story.hears(welcome);
  const members = [{ rank: 0, ...member, incarnation: 6 }];
  assert.deepEqual(story.hears({ ...world, members } as CoordinatorMessage), [
    'end 1: the world was formed without this worker',
  ]);
});

test('a lost peer is reported and decides nothing', () => {
  const story = training();
  assert.deepEqual(story.happen({ kind: 'peerLost', worker: 'w-9', reason: 'reset' }), [
    'say suspicion {"worker":"w-9","reason":"reset"}',
  ]);
});

test('an abort gives up the step in progress; the step that is committed is told', () => {
  const story = training();
  assert.deepEqual(story.hears({ kind: 'abort', reason: 'w-9 was lost' }), ['abort']);
  assert.deepEqual(story.happen({ kind: 'peerLost', worker: 'w-9', reason: 'reset' }), []);
  assert.deepEqual(story.happen({ kind: 'halted', step: 6 }), ['say halted {"step":6}']);
  assert.deepEqual(story.hears({ kind: 'save', step: 6, share: 0, shares: 1 }), [
    'save 6 share 0/1',
  ]);
});

test('an abort before training halts at the world’s step', () => {
  const story = createStory();
  story.happen({ kind: 'sessionOpened' });
  story.hears(welcome);
  story.hears(world);
  assert.deepEqual(story.hears({ kind: 'abort', reason: 'gone' }), [
    'abort',
    'say halted {"step":4}',
  ]);
  assert.deepEqual(story.happen({ kind: 'prepared' }), []);
});

test('the end comes with its exit code, and nothing after it', () => {
  const story = training();
  assert.deepEqual(story.hears({ kind: 'end', exitCode: 0, reason: 'finished' }), [
    'end 0: finished',
  ]);
  assert.deepEqual(story.happen({ kind: 'sessionLost', reason: 'closed' }), []);
});

test('a worker without its coordinator ends and says why', () => {
  assert.deepEqual(training().happen({ kind: 'sessionLost', reason: 'reset' }), [
    'end 1: the coordinator was lost: reset',
  ]);
});

test('a failure is told before the worker ends', () => {
  assert.deepEqual(training().happen({ kind: 'failed', reason: 'no memory', exitCode: 1 }), [
    'say failure {"reason":"no memory","exitCode":1}',
    'end 1: no memory',
  ]);
});

test('a signal while training is a vote to stop after the step', () => {
  assert.deepEqual(training().happen({ kind: 'stopAsked' }), ['voteStop']);
  assert.deepEqual(createStory().happen({ kind: 'stopAsked' }), ['end 3: stopped before training']);
});

test('heartbeats say where the worker is', () => {
  const story = training();
  story.happen({ kind: 'activity', step: 5, activity: 'exchange' });
  assert.deepEqual(story.happen({ kind: 'tick' }), [
    'say progress {"generation":1,"step":5,"activity":"exchange"}',
  ]);
});
