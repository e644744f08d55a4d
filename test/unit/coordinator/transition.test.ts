// Stories of the coordinator's core: what it decides when workers join, finish and die.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byName } from '../../../coordinator/core/gathering.js';
import {
  initialCoordinatorState,
  type CoordinatorConfig,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
} from '../../../coordinator/core/state.js';
import { transition } from '../../../coordinator/core/transition.js';
import type { WorkerMessage } from '../../../shared/control/messages.js';

const config: CoordinatorConfig = {
  worldSize: 2,
  startStep: 0,
  until: 10,
  lastStep: 10,
  heartbeatTimeoutMs: 5_000,
  joinTimeoutMs: 60_000,
  salvageTimeoutMs: 30_000,
};

/** A coordinator's core with a clock, and a transcript of what it asked for. */
function createStory(change: Partial<CoordinatorConfig> = {}, savedStep?: number) {
  let nowMs = 0;
  let state: CoordinatorState = initialCoordinatorState({ ...config, ...change }, savedStep, nowMs);
  const happen = (event: CoordinatorEvent): string[] => {
    const decision = transition(state, event, nowMs);
    state = decision.state;
    return decision.effects.map(describe);
  };
  return {
    happen,
    says: (worker: string, message: WorkerMessage) => happen({ kind: 'message', worker, message }),
    wait: (ms: number) => {
      nowMs += ms;
      return happen({ kind: 'tick' });
    },
  };
}

function describe(effect: CoordinatorEffect): string {
  switch (effect.kind) {
    case 'send':
      return `${effect.message.kind} -> ${effect.worker}`;
    case 'welcome':
      return `welcome -> ${effect.worker}`;
    case 'formed':
      return `formed ${effect.world.members.map((member) => member.worker).join(' ')}`;
    case 'storeManifest':
      return `manifest ${effect.snapshot.step}: ${effect.parts.map((part) => part.name).join(' ')}`;
    case 'notice':
      return `notice: ${effect.text}`;
    case 'end':
      return `end ${effect.ending.exitCode}: ${effect.ending.reason}`;
  }
}

const hello = (worker: string, fingerprint = 'onnx/1/cpu'): WorkerMessage => ({
  kind: 'hello',
  protocol: 1,
  worker,
  incarnation: 1,
  address: '127.0.0.1:1',
  fingerprint,
});
const sha256 = 'a'.repeat(64);
const part = (step: number, name: string): WorkerMessage => ({
  kind: 'partStored',
  step,
  name,
  file: `${name}.safetensors`,
  bytes: 8,
  sha256,
});
const snapshot = (step: number, parts = ['g', 'd']): WorkerMessage => ({
  kind: 'snapshot',
  step,
  parts,
  parametersSha256: sha256,
  updates: {},
});
const halted = (step: number): WorkerMessage => ({ kind: 'halted', step });

function formed(change: Partial<CoordinatorConfig> = {}, savedStep?: number) {
  const story = createStory(change, savedStep);
  story.says('w-1', hello('w-1'));
  story.says('w-0', hello('w-0'));
  return story;
}

test('the world is formed once all workers joined, ranks in the order of names', () => {
  const story = createStory();
  assert.deepEqual(story.says('w-10', hello('w-10')), ['welcome -> w-10']);
  assert.deepEqual(story.says('w-2', hello('w-2')), [
    'welcome -> w-2',
    'formed w-2 w-10',
    'world -> w-2',
    'world -> w-10',
  ]);
});

test('workers connect once all of them are prepared', () => {
  const story = formed();
  const prepared = { kind: 'prepared', generation: 1 } as const;
  assert.deepEqual(story.says('w-1', prepared), []);
  assert.deepEqual(story.says('w-0', prepared), ['connect -> w-0', 'connect -> w-1']);
});

test('a late worker, another protocol and another engine are refused with the reason', () => {
  const story = formed();
  assert.match(story.says('w-9', hello('w-9'))[1] ?? '', /formed already/);
  const other = createStory();
  other.says('w-0', hello('w-0'));
  assert.match(
    other.says('w-1', hello('w-1', 'onnx/2/cpu'))[1] ?? '',
    /onnx\/2\/cpu.*onnx\/1\/cpu/,
  );
});

test('a run ends well when all halted at the last step and its manifest is stored', () => {
  const story = formed();
  story.says('w-0', part(10, 'g'));
  story.says('w-1', part(10, 'd'));
  assert.deepEqual(story.says('w-0', snapshot(10)), ['manifest 10: g d']);
  story.says('w-0', halted(10));
  assert.deepEqual(story.says('w-1', halted(10)), []);
  assert.deepEqual(story.happen({ kind: 'manifestStored', step: 10 }), [
    'end 0: finished at step 10',
  ]);
});

test('halting before the last step is a stop, not a success', () => {
  const story = formed({ until: 4 });
  story.happen({ kind: 'manifestStored', step: 4 });
  story.says('w-0', halted(4));
  assert.deepEqual(story.says('w-1', halted(4)), [
    'end 3: stopped at step 4, which is checkpointed',
  ]);
});

test('a stop is asked of every worker once', () => {
  const story = formed();
  const stop = { kind: 'stopAsked', reason: 'SIGINT' } as const;
  assert.deepEqual(story.happen(stop), [
    'notice: stopping: SIGINT',
    'requestStop -> w-0',
    'requestStop -> w-1',
  ]);
  assert.deepEqual(story.happen(stop), []);
});

test('a lost worker ends the run by its name; the most advanced survivors store their step', () => {
  const story = formed({ worldSize: 3 });
  story.says('w-2', hello('w-2'));
  assert.deepEqual(story.happen({ kind: 'closed', worker: 'w-1', reason: 'its process ended' }), [
    'notice: w-1 was lost: its process ended',
    'abort -> w-0',
    'abort -> w-2',
  ]);
  assert.deepEqual(story.says('w-0', halted(6)), []);
  assert.deepEqual(story.says('w-2', halted(7)), ['save -> w-2']);
  story.says('w-2', part(7, 'g'));
  assert.deepEqual(story.says('w-2', snapshot(7, ['g'])), ['manifest 7: g']);
  assert.deepEqual(story.happen({ kind: 'manifestStored', step: 7 }), [
    'end 4: w-1 was lost: its process ended; the run can be resumed from step 7',
  ]);
});

test('survivors that take their connections down are not suspected', () => {
  const story = formed({ worldSize: 3 });
  story.says('w-2', hello('w-2'));
  story.happen({ kind: 'closed', worker: 'w-1', reason: 'gone' });
  const suspicion = { kind: 'suspicion', worker: 'w-2', reason: 'stream ended' } as const;
  assert.deepEqual(story.says('w-0', suspicion), []);
  story.says('w-0', halted(6));
  assert.deepEqual(story.says('w-2', halted(6)), ['save -> w-0', 'save -> w-2']);
});

test('a worker that was refused has no say', () => {
  const story = formed();
  story.says('w-9', hello('w-9'));
  const suspicion = { kind: 'suspicion', worker: 'w-1', reason: 'no route' } as const;
  assert.deepEqual(story.says('w-9', suspicion), []);
  assert.deepEqual(story.says('w-9', { kind: 'failure', reason: 'x', exitCode: 1 }), []);
});

test('a peer that can not be reached ends the run by its name', () => {
  const story = formed();
  const said = story.says('w-0', { kind: 'suspicion', worker: 'w-1', reason: 'no route' });
  assert.deepEqual(said, ["notice: w-1 can't be reached by w-0: no route", 'abort -> w-0']);
});

test('a silent worker is lost after the heartbeat timeout, not before', () => {
  const story = formed();
  const progress = { kind: 'progress', generation: 1, step: 0, activity: 'compute' } as const;
  assert.deepEqual(story.wait(4_000), []);
  story.says('w-0', progress);
  assert.match(story.wait(1_500)[0] ?? '', /w-1 was lost: silent for 5.5 s/);
});

test('a survivor that does not halt in time does not hold the run up', () => {
  const story = formed({ worldSize: 3 });
  story.says('w-2', hello('w-2'));
  story.happen({ kind: 'closed', worker: 'w-1', reason: 'gone' });
  story.says('w-0', halted(5));
  const alive = { kind: 'progress', generation: 1, step: 5, activity: 'compute' } as const;
  for (let second = 0; second < 29; second++) {
    assert.deepEqual(story.wait(1_000), []);
    for (const worker of ['w-0', 'w-2']) story.says(worker, alive);
  }
  assert.deepEqual(story.wait(2_000), ['save -> w-0']);
});

test('a survivor that falls silent does not hold the run up until the deadline', () => {
  const story = formed({ worldSize: 3 });
  story.says('w-2', hello('w-2'));
  story.happen({ kind: 'closed', worker: 'w-1', reason: 'gone' });
  story.wait(4_000);
  story.says('w-0', halted(5));
  assert.deepEqual(story.wait(1_500), ['save -> w-0']);
});

test('a saver that is lost as well leaves the saving to those that are left', () => {
  const story = formed({ worldSize: 3 });
  story.says('w-2', hello('w-2'));
  story.happen({ kind: 'closed', worker: 'w-1', reason: 'gone' });
  story.says('w-0', halted(6));
  assert.deepEqual(story.says('w-2', halted(7)), ['save -> w-2']);
  const lost = { kind: 'closed', worker: 'w-2', reason: 'gone too' } as const;
  assert.deepEqual(story.happen(lost), ['save -> w-0']);
  story.says('w-0', part(6, 'g'));
  story.says('w-0', snapshot(6, ['g']));
  assert.deepEqual(story.happen({ kind: 'manifestStored', step: 6 }), [
    'end 4: w-1 was lost: gone; the run can be resumed from step 6',
  ]);
});

test('a run that loses all of its workers ends at its newest checkpoint', () => {
  const story = formed({}, 4);
  story.happen({ kind: 'closed', worker: 'w-1', reason: 'gone' });
  assert.deepEqual(story.happen({ kind: 'closed', worker: 'w-0', reason: 'gone too' }), [
    'end 4: w-1 was lost: gone; the run can be resumed from step 4',
  ]);
});

test('nothing is stored twice: a survivor’s step that is checkpointed already ends the run', () => {
  const story = formed({}, 0);
  story.happen({ kind: 'closed', worker: 'w-1', reason: 'gone' });
  assert.deepEqual(story.says('w-0', halted(0)), [
    'end 4: w-1 was lost: gone; the run can be resumed from step 0',
  ]);
});

test('workers that never come end the wait with the count', () => {
  const story = createStory();
  story.says('w-0', hello('w-0'));
  assert.deepEqual(story.wait(61_000), ['end 1: only 1 of 2 workers joined within 60 s']);
});

test('an operator’s mistake found by a worker keeps its exit code', () => {
  const story = formed();
  story.says('w-0', { kind: 'failure', reason: 'bad data', exitCode: 78 });
  assert.deepEqual(story.says('w-1', halted(0)), ['save -> w-1']);
  assert.match(story.wait(31_000)[0] ?? '', /^end 78: w-0 failed: bad data/);
});

test('names are ordered with their numbers by value', () => {
  const sorted = ['w-10', 'w-9', 'w-1', 'a', 'w-1b'].sort(byName);
  assert.deepEqual(sorted, ['a', 'w-1', 'w-1b', 'w-9', 'w-10']);
});
