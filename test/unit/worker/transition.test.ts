// Stories of the worker's core: how it goes from one world to the next, what it tells, and what
// it does without a coordinator.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generationOf } from '../../../shared/words.js';
import type { CoordinatorMessage, Hello, WorkerMessage } from '../../../shared/control/messages.js';
import {
  initialWorkerState,
  type WorkerConfig,
  type WorkerEffect,
  type WorkerEvent,
} from '../../../worker/core/state.js';
import { transition } from '../../../worker/core/transition.js';
import { worldOf } from '../../support/coordinator-story.js';

const config: WorkerConfig = {
  worker: 'w-1',
  incarnation: 1,
  address: '127.0.0.1:1',
  pid: 1,
  host: 'here',
  patienceMs: 60_000,
  drainMs: 20_000,
  allowsFaults: false,
};

/** A worker's core with a clock, and what it asks for in words. */
function createStory(change: Partial<WorkerConfig> = {}) {
  let nowMs = 0;
  const state = initialWorkerState({ ...config, ...change }, nowMs);
  const happen = (event: WorkerEvent): string[] => transition(state, event, nowMs).map(describe);
  const hears = (message: CoordinatorMessage): string[] => happen({ kind: 'message', message });
  const wait = (ms: number): string[] => {
    nowMs += ms;
    return happen({ kind: 'tick' });
  };
  return { state, happen, hears, wait };
}

function describe(effect: WorkerEffect): string {
  if (effect.kind === 'send') return `say ${describeMessage(effect.message)}`;
  if (effect.kind === 'enter') return `enter ${effect.step} from ${effect.source}`;
  if (effect.kind === 'end') return `end ${effect.exitCode}: ${effect.reason}`;
  if (effect.kind === 'finish') return `finish ${effect.share}/${effect.shares}`;
  return effect.kind;
}

function describeMessage(message: WorkerMessage): string {
  if (message.kind === 'status') return message.stage;
  return message.kind === 'partStored' ? `part ${message.name}` : message.kind;
}

const welcome = (term = 1): CoordinatorMessage => ({
  ...{ kind: 'welcome', term, runUrl: 'file:///runs/a', record: '{}' },
  ...{ run: 'a', recordSha256: 'a'.repeat(64), othersTrain: false },
});
const first = generationOf(1, 1);
const second = generationOf(1, 2);
const world = (generation: number, step = 0): CoordinatorMessage => ({
  ...{ kind: 'world', ...worldOf(generation, ['w-0', 'w-1'], step) },
  source: step === 0 ? 'checkpoint' : 'peer',
});
const halted = (generation: number, step: number): WorkerEvent => ({
  ...{ kind: 'halted', generation, step, hasState: true, trouble: '' },
});

/** A worker that trains in its first world. */
function training(change: Partial<WorkerConfig> = {}) {
  const story = createStory(change);
  story.happen({ kind: 'sessionOpened' });
  story.hears(welcome());
  story.happen({ kind: 'ready', fingerprint: 'onnx/1/cpu' });
  story.hears(world(first));
  story.happen({ kind: 'entered', generation: first });
  story.hears({ kind: 'connect', generation: first });
  story.happen({ kind: 'joined', generation: first });
  return story;
}

test('a worker loads the run, enters the world, connects and trains, and tells each stage', () => {
  const story = createStory();
  assert.deepEqual(story.happen({ kind: 'sessionOpened' }), ['say hello']);
  assert.deepEqual(story.hears(welcome()), ['prepare']);
  assert.deepEqual(story.happen({ kind: 'ready', fingerprint: 'onnx/1/cpu' }), ['say ready']);
  assert.deepEqual(story.hears(world(first)), ['say entering', 'enter 0 from checkpoint']);
  assert.deepEqual(story.happen({ kind: 'entered', generation: first }), ['say entered']);
  assert.deepEqual(story.hears({ kind: 'connect', generation: first }), ['say connecting', 'join']);
  assert.deepEqual(story.happen({ kind: 'joined', generation: first }), ['say training', 'train']);
});

test('before its welcome a coordinator gives no orders, but may refuse', () => {
  const story = training();
  story.happen({ kind: 'sessionLost', reason: 'cut' });
  story.happen({ kind: 'sessionOpened' });
  assert.deepEqual(story.hears({ kind: 'abort', generation: first, reason: 'a stranger' }), []);
  assert.deepEqual(story.hears(world(second, 4)), []);
  assert.deepEqual(story.hears({ kind: 'end', exitCode: 7, reason: 'no' }), ['end 7: no']);
});

test('a worker that was welcomed names its run, and ends when another is led there', () => {
  const story = createStory();
  const helloOf = (): Partial<Hello> => {
    const [effect] = transition(story.state, { kind: 'sessionOpened' }, 0);
    assert.ok(effect?.kind === 'send' && effect.message.kind === 'hello');
    return effect.message;
  };
  assert.deepEqual([helloOf().run, helloOf().recordSha256], ['', '']);
  story.hears(welcome());
  assert.deepEqual([helloOf().run, helloOf().recordSha256], ['a', 'a'.repeat(64)]);
  const other = { ...welcome(), recordSha256: 'b'.repeat(64) } as CoordinatorMessage;
  assert.match(story.hears(other)[0] ?? '', /^end 7: the coordinator now leads another run/);
});

test('a mistake ends a worker with 78, and a newcomer among others that train with 7', () => {
  for (const [othersTrain, trained, code] of [
    [false, false, 78],
    [true, false, 7],
    [true, true, 78],
  ] as const) {
    const story = createStory();
    story.happen({ kind: 'sessionOpened' });
    story.hears({ ...welcome(), othersTrain } as CoordinatorMessage);
    story.state.hasTrained = trained;
    const failed = { kind: 'failed', reason: 'no dataset', exitCode: 78, sample: '' } as const;
    assert.deepEqual(story.happen(failed), ['say failure', `end ${code}: no dataset`]);
  }
});

test('an address that takes sessions and never welcomes is no coordinator', () => {
  const story = createStory({ patienceMs: 3_000 });
  for (let i = 0; i < 12; i++) {
    story.happen({ kind: 'sessionOpened' });
    const told = story.wait(500);
    if (told.some((line) => line.startsWith('end'))) return;
    story.happen({ kind: 'sessionLost', reason: 'it closed the session' });
  }
  assert.fail('it dials for ever');
});

test('what comes twice, or of an earlier world, changes nothing', () => {
  const story = training();
  assert.deepEqual(story.hears(world(first)), []);
  assert.deepEqual(story.hears({ kind: 'connect', generation: first }), []);
  assert.deepEqual(story.hears(welcome()), []);
  story.hears({ kind: 'abort', generation: first, reason: 'w-0 was lost' });
  story.happen(halted(first, 3));
  assert.deepEqual(story.hears(world(second, 4)), ['say entering', 'enter 4 from peer']);
  assert.deepEqual(story.hears(world(first)), []);
  assert.deepEqual(story.hears({ kind: 'abort', generation: first, reason: 'late' }), []);
  assert.deepEqual(story.happen(halted(first, 9)), []);
  assert.deepEqual(story.happen({ kind: 'joined', generation: first }), []);
  assert.deepEqual(story.hears({ kind: 'vote', generation: first, reason: 'late' }), []);
});

test('a worker that missed the end of its world gives it up for the next', () => {
  const story = training();
  assert.deepEqual(story.hears(world(second, 7)), ['say aborting', 'abort']);
  assert.deepEqual(story.happen(halted(first, 6)), ['say entering', 'enter 7 from peer']);
  assert.equal(story.state.step, 6);
  story.happen({ kind: 'entered', generation: second });
  assert.equal(story.state.step, 7);
});

test('a worker that could not enter keeps its own state and says so', () => {
  const story = training();
  story.hears({ kind: 'abort', generation: first, reason: 'w-0 was lost' });
  story.happen(halted(first, 3));
  story.hears(world(second, 4));
  const failed = { kind: 'enterFailed', generation: second, reason: 'the donor is gone' } as const;
  assert.deepEqual(story.happen(failed), ['say halted']);
  assert.equal(story.state.step, 3);
  assert.equal(story.state.hasState, true);
});

test('a peer that can not be reached is told with every heartbeat, until the next world', () => {
  const story = training();
  const lost = { kind: 'peerLost', generation: first, worker: 'w-0', reason: 'silent' } as const;
  assert.deepEqual(story.happen({ ...lost, generation: second }), []);
  assert.deepEqual(story.happen(lost), ['say training']);
  assert.equal(story.state.suspicions.get('w-0'), 'silent');
  // Of a second one the next heartbeat tells: where many die, all others tell of all of them.
  assert.deepEqual(story.happen({ ...lost, worker: 'w-2' }), []);
  assert.equal(story.state.suspicions.size, 2);
  assert.deepEqual(story.wait(250), ['say training']);
  story.hears({ kind: 'abort', generation: first, reason: 'w-0 was lost' });
  story.happen(halted(first, 3));
  story.hears(world(second, 3));
  assert.equal(story.state.suspicions.size, 0);
});

test('without a coordinator the worker trains on, and tells the next one what it must know', () => {
  const story = training();
  const part: WorkerMessage = {
    ...{ kind: 'partStored', step: 4, name: 'generator', file: 'a', bytes: 1 },
    ...{ sha256: 'a'.repeat(64), stateDigest: '0'.repeat(16) },
  };
  story.happen({ kind: 'activity', step: 4, activity: 'compute' });
  story.happen({ kind: 'tell', message: part });
  assert.deepEqual(story.happen({ kind: 'sessionLost', reason: 'cut' }), []);
  assert.deepEqual(story.wait(30_000), []);
  assert.deepEqual(story.happen({ kind: 'sessionOpened' }), ['say hello', 'say part generator']);
  assert.deepEqual(story.hears(welcome(2)), []);
  story.hears({ kind: 'checkpointed', step: 4 });
  story.happen({ kind: 'sessionLost', reason: 'cut' });
  assert.deepEqual(story.happen({ kind: 'sessionOpened' }), ['say hello']);
});

test('a coordinator of an earlier term is left alone', () => {
  const story = training();
  story.hears(welcome(3));
  assert.deepEqual(story.hears(welcome(2)), ['redial']);
});

test('a worker gives up when there is no coordinator for too long', () => {
  const story = training();
  story.happen({ kind: 'sessionLost', reason: 'cut' });
  assert.deepEqual(story.wait(59_000), []);
  const end = 'end 1: no coordinator could be reached for 60 s';
  assert.deepEqual(story.wait(2_000), [end]);
});

test('a worker that is asked to leave says so, and goes on until it is let go', () => {
  const story = training();
  assert.deepEqual(story.happen({ kind: 'stopAsked' }), ['say training']);
  assert.equal(story.state.isLeaving, true);
  assert.deepEqual(story.hears({ kind: 'vote', generation: first, reason: 'w-1 leaves' }), [
    'voteStop',
  ]);
  story.happen(halted(first, 5));
  assert.deepEqual(story.hears({ kind: 'end', exitCode: 5, reason: 'left in order' }), [
    'end 5: left in order',
  ]);
});

test('a worker that nobody lets go leaves all the same', () => {
  const story = training();
  story.happen({ kind: 'stopAsked' });
  story.wait(10_000);
  assert.deepEqual(story.wait(10_001), ['end 5: left at once: nobody let it go in 20 s']);
});

test('a worker in no world leaves at once', () => {
  const story = createStory();
  assert.deepEqual(story.happen({ kind: 'stopAsked' }), [
    'end 5: left before it was part of a world',
  ]);
});

test('the last state is stored once for each share that is asked for', () => {
  const story = training();
  story.happen(halted(first, 10));
  const finish = (share: number, shares: number): CoordinatorMessage => ({
    ...{ kind: 'finish', generation: first, step: 10, share, shares },
  });
  assert.deepEqual(story.hears(finish(1, 2)), ['say finishing', 'finish 1/2']);
  assert.deepEqual(story.hears(finish(1, 2)), []);
  const done = { kind: 'finished', generation: first, step: 10 } as const;
  assert.deepEqual(story.happen(done), ['say finished']);
  assert.deepEqual(story.hears(finish(0, 1)), ['say finishing', 'finish 0/1']);
  assert.deepEqual(story.hears({ ...finish(0, 1), step: 9 } as CoordinatorMessage), []);
});

test('a failure is told, and ends the process', () => {
  const story = training();
  assert.deepEqual(story.happen({ kind: 'failed', reason: 'no memory', exitCode: 1, sample: '' }), [
    'say failure',
    'end 1: no memory',
  ]);
  assert.deepEqual(story.happen({ kind: 'tick' }), []);
});

test('faults are obeyed only by who allows them', () => {
  const fault: CoordinatorMessage = { kind: 'fault', fault: 'flip', seconds: 0, peer: '' };
  assert.deepEqual(training().hears(fault), []);
  assert.deepEqual(training({ allowsFaults: true }).hears(fault), ['fault']);
});
