// Stories of the coordinator's core: what it decides when workers join, die, come late, differ,
// leave and finish, and when it is a coordinator that was started anew.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { byName } from '../../../shared/words.js';
import { generationOf } from '../../../shared/words.js';
import type { WorkerMessage } from '../../../shared/control/messages.js';
import {
  createStory,
  createTraining,
  enterTogether,
  newStatus,
  suspects,
  trainTogether,
  type Story,
} from '../../support/coordinator-story.js';

const sha256 = 'a'.repeat(64);
const digest = '0'.repeat(16);
const part = (step: number, name: string, stateDigest = digest): WorkerMessage => ({
  ...{ kind: 'partStored', step, name, file: `${name}.safetensors` },
  ...{ bytes: 8, sha256, stateDigest },
});
const snapshot = (step: number): WorkerMessage => ({
  ...{ kind: 'snapshot', step, parts: ['g', 'd'] },
  ...{ parametersSha256: sha256, updates: {}, skippedInARow: 0 },
});
const digestOf = (generation: number, value: string): WorkerMessage => ({
  ...{ kind: 'digest', generation, step: 8, value: value.repeat(16), isWhole: false },
});
const votes = ['vote -> w-0', 'vote -> w-1'];
const without = (lines: readonly string[], ...words: string[]): string[] =>
  lines.filter((line) => !words.some((word) => line.includes(word)));

/** Stores a checkpoint of `step` with parts of two workers. */
function store(story: Story, step: number, from: readonly [string, string]): string[] {
  story.says(from[0], part(step, 'g'));
  story.says(from[1], part(step, 'd'));
  return story.says(from[0], snapshot(step));
}

test('the world is formed once all workers are ready, ranks in the order of names', () => {
  const story = createStory();
  assert.deepEqual(story.hello('w-10'), ['welcome -> w-10']);
  story.hello('w-2');
  assert.deepEqual(story.is('w-10', 'ready'), []);
  assert.deepEqual(story.is('w-2', 'ready'), ['findCheckpoint']);
  assert.deepEqual(story.happen({ kind: 'checkpointFound', step: 4, isStored: true }), [
    'formed w-2 w-10 at step 4',
    'world at 4 from checkpoint -> w-10',
    'world at 4 from checkpoint -> w-2',
  ]);
});

test('workers connect once all of them have the state', () => {
  const story = createStory();
  for (const worker of ['w-0', 'w-1']) story.hello(worker);
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'ready');
  story.happen({ kind: 'checkpointFound', step: 0, isStored: false });
  const generation = generationOf(1, 1);
  story.is('w-0', 'entering', { generation });
  story.is('w-1', 'entering', { generation });
  assert.deepEqual(story.is('w-0', 'entered', { hasState: true }), []);
  const answer = story.is('w-1', 'entered', { hasState: true });
  assert.deepEqual(answer, ['connect -> w-0', 'connect -> w-1']);
});

test('an order is given again until the status shows that it was obeyed', () => {
  const story = createStory({ worldSize: 1 });
  story.hello('w-0');
  story.is('w-0', 'ready');
  story.happen({ kind: 'checkpointFound', step: 0, isStored: false });
  assert.deepEqual(story.wait(1_000), ['world at 0 from checkpoint -> w-0']);
  story.is('w-0', 'entering', { generation: generationOf(1, 1) });
  assert.deepEqual(story.wait(5_000), []);
});

test('a killed worker is out at once, by two witnesses, and the others go on', () => {
  const story = createTraining(3);
  assert.deepEqual(story.closes('w-1'), []);
  const answer = story.is('w-0', 'training', { step: 5, ...suspects('w-1') });
  assert.match(answer[0] ?? '', /^lost w-1: its session ended, and w-0 can't reach it/);
  assert.deepEqual(answer.slice(1), ['abort -> w-0', 'abort -> w-2']);
  // One had committed the step under way, the other had not: it takes the state from the first.
  assert.deepEqual(story.is('w-0', 'halted', { step: 6 }), []);
  assert.deepEqual(story.is('w-2', 'halted', { step: 5 }), [
    'formed w-0 w-2 at step 6',
    'world at 6 from own -> w-0',
    'world at 6 from peer -> w-2',
  ]);
});

test('a coordinator that hears nothing of a worker kills nobody without a peer', () => {
  const story = createTraining();
  story.closes('w-1');
  assert.deepEqual(story.wait(60_000, ['w-0']), []);
});

test('a frozen worker is out within two seconds of silence, and comes back as one who is behind', () => {
  const story = createTraining(3);
  const { generation } = story;
  story.is('w-0', 'training', suspects('w-2'));
  const [first = ''] = story.wait(2_000, ['w-0', 'w-1']);
  assert.match(first, /^lost w-2: it was silent for 1\.\d s, and w-0/);
  story.is('w-0', 'halted', { step: 3 });
  assert.equal(story.is('w-1', 'halted', { step: 3 })[0], 'formed w-0 w-1 at step 3');
  enterTogether(story, ['w-0', 'w-1'], generation + 1, 3);
  // It thaws: its old world is no more.
  story.is('w-2', 'training', { step: 2 });
  assert.ok(story.wait(1_000).includes('abort -> w-2'));
  story.is('w-2', 'halted', { step: 2 });
  assert.deepEqual(without(story.wait(500), 'status'), votes);
  story.is('w-0', 'halted', { step: 4 });
  assert.deepEqual(story.is('w-1', 'halted', { step: 4 }), [
    'formed w-0 w-1 w-2 at step 4',
    'world at 4 from own -> w-0',
    'world at 4 from own -> w-1',
    'world at 4 from peer -> w-2',
  ]);
});

test('a cut link between two that are heard is dialled anew, then one stays out', () => {
  const story = createTraining();
  let { generation } = story;
  story.is('w-0', 'training', suspects('w-1'));
  assert.deepEqual(story.wait(2_000), []);
  assert.match(story.wait(1_000)[0] ?? '', /w-0 can't reach w-1, which is heard.*dialling anew/);
  story.is('w-0', 'halted', { suspicions: [] });
  assert.equal(story.is('w-1', 'halted')[0], 'formed w-0 w-1 at step 0');
  generation += 1;
  enterTogether(story, ['w-0', 'w-1'], generation, 0);
  story.is('w-0', 'training', suspects('w-1'));
  assert.match(story.wait(3_000)[0] ?? '', /w-1 stays out for a while/);
  story.is('w-0', 'halted', { suspicions: [] });
  assert.equal(story.is('w-1', 'halted')[0], 'formed w-0 at step 0');
});

test('a worker that comes late joins after a step, with the state of a peer', () => {
  const story = createTraining();
  story.hello('w-2');
  assert.deepEqual(story.is('w-2', 'ready'), []);
  assert.deepEqual(story.wait(500), votes);
  story.is('w-0', 'halted', { step: 7 });
  const answer = story.is('w-1', 'halted', { step: 7 }).slice(0, 1);
  assert.deepEqual(answer, ['formed w-0 w-1 w-2 at step 7']);
});

test('more workers than micro-shards wait as spares', () => {
  const story = createTraining(2, { microShards: 2 });
  story.hello('w-2');
  story.is('w-2', 'ready');
  assert.deepEqual(story.wait(5_000), []);
});

test('a process that is started again takes the place of its forerunner', () => {
  const story = createTraining();
  story.closes('w-1');
  const answer = story.hello('w-1', { incarnation: 2 });
  assert.equal(answer[0], 'welcome -> w-1');
  assert.match(answer[1] ?? '', /^lost w-1: its process was started again/);
  story.is('w-0', 'halted', { step: 2 });
});

test('a worker that is asked to leave goes after the step, with its own exit code', () => {
  const story = createTraining();
  assert.deepEqual(story.is('w-1', 'training', { isLeaving: true }), votes);
  story.is('w-1', 'halted', { step: 3 });
  const answer = story.is('w-0', 'halted', { step: 3 });
  assert.deepEqual(answer, ['formed w-0 at step 3', 'world at 3 from own -> w-0', 'end 5 -> w-1']);
});

test('what only leavers have is stored before they go', () => {
  const story = createTraining(1);
  story.is('w-0', 'training', { isLeaving: true });
  assert.deepEqual(story.is('w-0', 'halted', { step: 3 }), ['finish share 0/1 -> w-0']);
  story.is('w-0', 'finishing');
  story.says('w-0', part(3, 'g'));
  story.says('w-0', part(3, 'd'));
  assert.deepEqual(story.says('w-0', snapshot(3)), ['manifest 3: g d']);
  story.is('w-0', 'finished');
  const answer = without(story.happen({ kind: 'manifestStored', step: 3 }), 'notice');
  assert.deepEqual(answer, ['checkpointed -> w-0', 'end 5 -> w-0']);
});

test('scaling down drains the last by name, scaling up asks for more', () => {
  const story = createTraining(3);
  assert.deepEqual(story.happen({ kind: 'scaleAsked', workers: 2 }), [
    'target 2',
    'vote -> w-0',
    'vote -> w-1',
    'vote -> w-2',
  ]);
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'halted', { step: 2 });
  const answer = story.is('w-2', 'halted', { step: 2 });
  assert.equal(answer[0], 'formed w-0 w-1 at step 2');
  assert.ok(answer.includes('end 5 -> w-2'));
  assert.deepEqual(story.happen({ kind: 'scaleAsked', workers: 5 }), ['target 5']);
});

test('the last state is stored by all, by fewer when one is lost, and then the run ends', () => {
  const story = createTraining();
  story.is('w-0', 'halted', { step: 10 });
  const answer = story.is('w-1', 'halted', { step: 10 });
  assert.deepEqual(answer, ['finish share 0/2 -> w-0', 'finish share 1/2 -> w-1']);
  story.is('w-0', 'finishing');
  story.says('w-0', part(10, 'g'));
  story.is('w-0', 'finished');
  assert.deepEqual(story.closes('w-1'), ['finish share 0/1 -> w-0']);
  story.is('w-0', 'finishing');
  assert.deepEqual(store(story, 10, ['w-0', 'w-0']), ['manifest 10: g d']);
  story.is('w-0', 'finished');
  const end = story.happen({ kind: 'manifestStored', step: 10 }).at(-1);
  assert.equal(end, 'end 0: finished at step 10');
});

test('a stop is a vote; the run ends with a checkpoint and can go on', () => {
  const story = createTraining();
  const answer = story.happen({ kind: 'stopAsked', reason: 'SIGINT' });
  assert.deepEqual(answer, ['notice: stopping: SIGINT', 'vote -> w-0', 'vote -> w-1']);
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'halted', { step: 4 });
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'finishing');
  assert.deepEqual(store(story, 4, ['w-0', 'w-1']), ['manifest 4: g d']);
  story.happen({ kind: 'manifestStored', step: 4 });
  story.is('w-0', 'finished');
  const end = story.is('w-1', 'finished');
  assert.deepEqual(end, ['end 3: stopped at step 4, which is checkpointed']);
});

test('a run that is given up from outside keeps its state, and says so', () => {
  const story = createTraining();
  const ending = { exitCode: exitCodes.configuration, reason: 'too little memory' };
  const answer = story.happen({ kind: 'failAsked', ending });
  assert.deepEqual(answer, ['abort -> w-0', 'abort -> w-1']);
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'halted', { step: 4 });
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'finishing');
  store(story, 4, ['w-0', 'w-1']);
  story.happen({ kind: 'manifestStored', step: 4 });
  story.is('w-0', 'finished');
  const end = story.is('w-1', 'finished');
  assert.deepEqual(end, ['end 78: too little memory; the run can be resumed from step 4']);
  const alone = createStory({}, undefined);
  const words = alone.happen({ kind: 'failAsked', ending }).join();
  assert.match(words, /end 78: too little memory; nothing was checkpointed/);
});

test('a worker whose digest differs is named, and all go back to what they agreed on', () => {
  const story = createTraining(3);
  const { generation } = story;
  story.says('w-0', digestOf(generation, 'a'));
  story.says('w-1', digestOf(generation, 'b'));
  const [first = ''] = story.says('w-2', digestOf(generation, 'a'));
  assert.match(first, /after step 8: w-1 differs from the others; all go back/);
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'halted', { step: 9 });
  assert.ok(story.is('w-2', 'halted', { step: 9 }).includes('findCheckpoint'));
  assert.deepEqual(story.happen({ kind: 'checkpointFound', step: 4, isStored: true }), [
    'formed w-0 w-1 w-2 at step 4',
    ...['w-0', 'w-1', 'w-2'].map((worker) => `world at 4 from checkpoint -> ${worker}`),
  ]);
});

test('of two that differ nobody can say who is right', () => {
  const story = createStory();
  const generation = trainTogether(story, ['w-0', 'w-1'], 4);
  story.says('w-0', digestOf(generation, 'a'));
  const [first = ''] = story.says('w-1', digestOf(generation, 'b'));
  assert.match(first, /all go back to the newest checkpoint/);
  story.is('w-0', 'halted', { step: 9 });
  const answer = story.is('w-1', 'halted', { step: 9 });
  assert.ok(answer.includes('findCheckpoint'), answer.join());
  assert.deepEqual(story.happen({ kind: 'checkpointFound', step: 4, isStored: true }), [
    'formed w-0 w-1 at step 4',
    'world at 4 from checkpoint -> w-0',
    'world at 4 from checkpoint -> w-1',
  ]);
});

test('two that differ after each return to one checkpoint end the run, which says why', () => {
  const story = createStory({}, 4);
  const workers = ['w-0', 'w-1'];
  const status = { ...newStatus, fingerprint: 'onnx/1/cpu/factored' };
  for (const worker of workers) story.hello(worker, { status });
  for (const worker of workers) story.is(worker, 'ready');
  const halt = () => workers.flatMap((worker) => story.is(worker, 'halted', { step: 9 }));
  const differFrom = (step: number): string => {
    story.happen({ kind: 'checkpointFound', step, isStored: true });
    const generation = generationOf(1, story.state.formed);
    enterTogether(story, workers, generation, step);
    story.says('w-0', digestOf(generation, 'a'));
    return story.says('w-1', digestOf(generation, 'b')).join();
  };
  // At another checkpoint they are counted anew.
  for (const step of [4, 4, 6, 6]) {
    const hint = /w-0, w-1 differ; all go back to the newest .* exchange\.factored: never/;
    assert.match(differFrom(step), hint);
    assert.doesNotMatch(halt().join(), /end/);
  }
  assert.match(differFrom(6), /w-0, w-1 differ, time 3 without a new checkpoint .*: never/);
  const ended = /end 78: .* differ, time 3 .*: never; the run can be resumed from step 6/;
  assert.match(halt().join(), ended);
});

test('a checkpoint whose parts are of different states is not committed', () => {
  const story = createTraining();
  story.says('w-0', part(4, 'g'));
  story.says('w-1', part(4, 'd', '1'.repeat(16)));
  assert.match(story.says('w-0', snapshot(4))[0] ?? '', /^notice: the checkpoint of step 4/);
});

test('steps that can not be taken end the run with the reason', () => {
  const story = createTraining();
  story.is('w-0', 'halted', { step: 5, trouble: 'not finite' });
  story.is('w-1', 'halted', { step: 5, trouble: 'not finite' });
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'finishing');
  store(story, 5, ['w-0', 'w-1']);
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'finished');
  const end = story.happen({ kind: 'manifestStored', step: 5 }).at(-1);
  assert.equal(end, 'end 1: not finite; the run can be resumed from step 5');
});

test('when all are lost the run waits for workers, and ends when none comes', () => {
  const story = createTraining(2, {}, 4);
  for (const worker of ['w-0', 'w-1']) story.closes(worker);
  story.hello('w-0', { incarnation: 2 });
  story.hello('w-1', { incarnation: 2 });
  story.is('w-0', 'ready');
  assert.ok(story.is('w-1', 'ready').includes('findCheckpoint'));
  assert.equal(
    story.happen({ kind: 'checkpointFound', step: 4, isStored: true })[0],
    'formed w-0 w-1 at step 4',
  );
});

test('a run all of whose workers vanish ends after a while, and can be resumed', () => {
  const story = createTraining(2, {}, 4);
  story.closes('w-0');
  story.closes('w-1');
  assert.deepEqual(story.wait(119_000, []), []);
  assert.deepEqual(story.wait(2_000, []).slice(0, 1), [
    'end 4: all workers were lost, and none came back within 120 s; ' +
      'the run can be resumed from step 4',
  ]);
});

test('a run that nobody joins ends after a while', () => {
  const story = createStory();
  assert.match(story.wait(121_000).at(-1) ?? '', /^end 1: no worker joined within 120 s/);
});

test('a coordinator that stood still does not hold it against the workers', () => {
  const story = createTraining();
  story.is('w-0', 'training', suspects('w-1'));
  assert.deepEqual(story.wait(250, []), []);
  const state = story.state;
  state.tickedMs -= 60_000;
  for (const view of state.workers.values()) view.heardMs -= 60_000;
  assert.deepEqual(story.happen({ kind: 'tick' }), []);
});

test('names are ordered by the numbers in them', () => {
  assert.deepEqual(['w-10', 'w-2', 'a-1'].sort(byName), ['a-1', 'w-2', 'w-10']);
});

for (const [savedStep, expected] of [
  [undefined, '130: stopped before the first step: SIGTERM; nothing was checkpointed'],
  [4, '3: stopped at step 4, which is checkpointed'],
] as const)
  test(`a stop with checkpoint ${savedStep} and no world says what is left`, () => {
    const story = createStory({}, savedStep);
    const answer = story.happen({ kind: 'stopAsked', reason: 'SIGTERM' });
    assert.ok(answer.join('\n').includes(expected), answer.join('\n'));
  });
