// Processes that should not be there, and workers that say what is not theirs to say: the run goes
// on as if they had not come.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeRun } from '../../../coordinator/edge/run-status.js';
import type { WorkerMessage } from '../../../shared/control/messages.js';
import { generationOf } from '../../../shared/words.js';
import {
  createStory,
  createTraining,
  newStatus,
  statusIn,
  storyConfig,
  suspects,
  worldOf,
  type Story,
} from '../../support/coordinator-story.js';

const sha256 = 'a'.repeat(64);
const ours = { run: storyConfig.run, recordSha256: storyConfig.recordSha256 };

/** What is left to say after `ms` in which all but the stranger are heard. */
const afterwards = (story: Story, ms = 10_000): string[] => story.wait(ms, ['w-0', 'w-1']);

const seen = (story: Story) =>
  describeRun(story.state, {
    ...{ run: 'r', url: 'file://r', imagesPerS: 0, etaS: 0, pid: 1, nowMs: story.now() },
  });

test('a second process with a taken id is refused once its holder is known to live', () => {
  const story = createTraining();
  assert.deepEqual(story.hello('w-1', { incarnation: 2, pid: 2 }), []);
  const holder = { session: 2, worker: 'w-1' };
  let told: string[] = [];
  for (let sequence = 100; told.length === 0 && sequence < 120; sequence++) {
    const status = { ...statusIn(story.generation), sequence };
    told = story.happen({ kind: 'message', ...holder, message: { kind: 'status', ...status } });
    told.push(...story.wait(250, ['w-0']));
  }
  assert.match(told[0] ?? '', /^dismiss 3 with 7: w-1 is another process, which lives \(process 1/);
  assert.ok(story.now() > 1_500 && story.now() < 2_500, `after ${story.now()} ms`);
  assert.equal(story.state.stage.kind, 'running');
  assert.equal(story.state.workers.get('w-1')?.incarnation, 1);
});

test('it waits for no longer than its holder may be silent, and then has its place', () => {
  const story = createTraining();
  assert.deepEqual(story.hello('w-1', { incarnation: 2, pid: 2 }), []);
  const told = story.wait(1_750, ['w-0']);
  assert.ok(told.includes('welcome -> w-1'), told.join());
  assert.match(told[0] ?? '', /^dismiss 2 with 7: another process has joined as w-1/);
});

test('a process whose forerunner is gone is let in at once, waiting or not', () => {
  const story = createTraining();
  assert.deepEqual(story.hello('w-1', { incarnation: 2, pid: 2 }), []);
  const told = story.happen({ kind: 'closed', session: 2, worker: 'w-1', reason: 'cut' });
  assert.equal(told[0], 'welcome -> w-1');
});

test('the same process gets in again while its old session is still open', () => {
  const story = createTraining();
  const status = statusIn(story.generation);
  const world = worldOf(story.generation, ['w-0', 'w-1']);
  const told = story.hello('w-1', { status, world });
  assert.match(told[0] ?? '', /^dismiss 2 with 1: it has opened a newer session/);
  assert.equal(told[1], 'welcome -> w-1');
  assert.deepEqual(afterwards(story), []);
});

test('who waits and leaves is forgotten, and only so many wait', () => {
  const story = createTraining();
  story.hello('w-1', { incarnation: 2 });
  story.closes('w-1');
  assert.equal(story.state.waiting.size, 0);
  const told = Array.from({ length: 100 }, (_, i) => story.hello('w-1', { incarnation: 3 + i }));
  assert.equal(story.state.waiting.size, 64);
  assert.match(told.at(-1)?.[0] ?? '', /with 7: too many workers wait/);
});

test('a worker of another run is refused with the names of both, whatever its term', () => {
  const story = createTraining();
  for (const other of [
    { run: 'other', recordSha256: 'b'.repeat(64) },
    { run: storyConfig.run, recordSha256: 'b'.repeat(64) },
  ]) {
    const [first = ''] = story.hello('w-9', { ...other, term: 7 });
    assert.match(first, /^dismiss \d+ with 7: it belongs to the run (other|story) \(record bbbbbb/);
    assert.match(first, /this coordinator leads the run story \(record aaaaaa/);
  }
  assert.deepEqual(afterwards(story), []);
});

test('a later term that the store does not know of is not believed, and seldom asked for', () => {
  const story = createTraining();
  const hello = (i: number) => story.hello(`x-${i}`, { ...ours, term: 7 });
  assert.deepEqual(hello(0), ['askForTerm']);
  for (let i = 1; i < 20; i++) assert.deepEqual(hello(i), []);
  const asked = story.wait(5_000, ['w-0', 'w-1']);
  assert.deepEqual(asked, Array<string>(5).fill('askForTerm'));
  const answer = story.happen({ kind: 'newestTerm', term: 1, askedMs: story.now() });
  assert.equal(answer.filter((line) => line.startsWith('dismiss')).length, 20);
  assert.match(answer[0] ?? '', /with 7: it has heard of a coordinator of term 7, and the store/);
  assert.equal(story.state.stage.kind, 'running');
});

test('an answer of the store from before a worker said so does not refute it', () => {
  const story = createTraining();
  story.wait(1_000);
  story.hello('x', { ...ours, term: 2 });
  assert.deepEqual(story.happen({ kind: 'newestTerm', term: 1, askedMs: 500 }), []);
  assert.deepEqual(story.happen({ kind: 'newestTerm', term: 2, askedMs: 1_000 }), ['stepDown']);
});

const lies = (generation: number, step: number): WorkerMessage[] => [
  {
    ...{ kind: 'stepReport', step, phase: 'x', metrics: [], isSkipped: false },
    ...{ dataS: 0, computeS: 0, exchangeS: 0, updateS: 0 },
  },
  {
    ...{ kind: 'evaluation', step, psnr: 99, ssim: 1, bicubicPsnr: 1, bicubicSsim: 1 },
    ...{ faces: 1, sampleKey: 'x', seconds: 1 },
  },
  {
    ...{ kind: 'partStored', step, name: 'g', file: 'g.safetensors', bytes: 8, sha256 },
    stateDigest: '0'.repeat(16),
  },
  {
    ...{ kind: 'snapshot', step, parts: ['g'], parametersSha256: sha256, updates: {} },
    skippedInARow: 0,
  },
  { kind: 'digest', generation, step, value: 'f'.repeat(16), isWhole: false },
  { kind: 'digest', generation, step, value: 'f'.repeat(16), isWhole: true },
];

test('what a process reports that is in no world changes nothing', () => {
  const story = createTraining();
  story.hello('stranger');
  for (const step of [4, 8, 9e15])
    for (const lie of lies(story.generation, step))
      assert.deepEqual(story.says('stranger', lie), [], lie.kind);
  assert.equal(seen(story).step, 0);
  assert.equal(story.state.pending.size + story.state.digests.size, 0);
  assert.deepEqual(afterwards(story), []);
});

test('a member reports of steps that the run has; of steps and quality only who was asked to', () => {
  const story = createTraining();
  for (const lie of lies(story.generation, 9e15)) assert.deepEqual(story.says('w-0', lie), []);
  const [report, evaluation] = lies(story.generation, 4);
  assert.deepEqual(story.says('w-1', report), []);
  assert.deepEqual(story.says('w-1', evaluation), []);
  assert.deepEqual(story.says('w-0', report), ['stepReport 4']);
  assert.deepEqual(story.says('w-0', evaluation), ['evaluation 4']);
  assert.equal(story.state.newestStep, 4);
});

test('the status of a process that was in no world has no state, no trouble and no suspicion', () => {
  const story = createTraining();
  story.hello('stranger');
  const said = { generation: story.generation, step: 9e15, hasState: true, trouble: 'not finite' };
  for (const stage of ['training', 'halted', 'finished'] as const)
    story.is('stranger', stage, { ...said, ...suspects('w-0', 'w-1') });
  assert.equal(seen(story).step, 0);
  story.is('w-0', 'halted', { step: 3 });
  assert.equal(
    story.is('w-1', 'halted', { step: 3 })[0],
    'formed stranger w-0 w-1 at step 3',
    'it is a newcomer like any other',
  );
});

test('a hello with a world that can not be one of this run is refused', () => {
  const generation = generationOf(1, 5);
  const status = { ...newStatus, ...statusIn(generation) };
  const world = worldOf(generation, ['w-0', 'x']);
  const [first, second] = world.members;
  for (const [what, change] of [
    ['names no run', { run: '', recordSha256: '' }],
    ['is without the worker', { world: worldOf(generation, ['w-0', 'w-1']) }],
    ['has one name twice', { world: worldOf(generation, ['x', 'x']) }],
    ['has steps that no step leads to', { world: { ...world, until: 9e15 } }],
    ['begins after its end', { world: { ...world, step: 11 } }],
    ['has too many members', { world: worldOf(generation, ['x', ...'abcdefghi']) }],
    ['has odd ranks', { world: { ...world, members: [second, first] } }],
  ] as const) {
    const story = createStory({ term: 2 });
    const [answer = ''] = story.hello('x', { ...ours, status, world, ...change });
    assert.match(answer, /^dismiss 1 with 7: /, what);
    assert.equal(story.state.stage.kind, 'gathering');
  }
});

test('a coordinator that takes over lets no process that came first keep the members out', () => {
  const story = createStory({ term: 2 });
  const generation = generationOf(1, 1);
  const world = worldOf(generation, ['w-0', 'w-1']);
  story.hello('early', { status: { ...newStatus, fingerprint: 'other' } });
  const told = story.hello('w-0', { status: statusIn(generation), world });
  assert.match(told[1] ?? '', /^dismiss 1 with 7: it computes with other, w-0 with onnx/);
  assert.ok(story.state.workers.has('w-0'));
  assert.ok(!story.state.workers.has('early'));
});

test('a coordinator that takes over gives a member its id back', () => {
  const story = createStory({ term: 2 });
  const generation = generationOf(1, 1);
  const world = worldOf(generation, ['w-0', 'w-1']);
  const member = { status: statusIn(generation), world };
  story.hello('w-0', { incarnation: 9, pid: 9 });
  story.hello('w-1', member);
  const told = story.hello('w-0', member);
  assert.match(told[0] ?? '', /^dismiss 1 with 7: another process has joined as w-0/);
  assert.equal(told[1], 'welcome -> w-0');
  assert.deepEqual(story.wait(10_000), []);
});

test('a process that says it is ready and does nothing is left out again', () => {
  const story = createTraining();
  story.hello('x');
  story.is('x', 'ready');
  assert.deepEqual(story.wait(500), ['vote -> w-0', 'vote -> w-1']);
  story.is('w-0', 'halted', { step: 3 });
  assert.equal(story.is('w-1', 'halted', { step: 3 })[0], 'formed w-0 w-1 x at step 3');
  const generation = story.generation + 1;
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'entering', { generation });
  for (const worker of ['w-0', 'w-1']) story.is(worker, 'entered');
  const told = story.wait(6_000);
  assert.ok(told.includes('lost x: it is ready, and does not enter'), told.join());
  story.is('w-0', 'halted');
  assert.equal(story.is('w-1', 'halted')[0], 'formed w-0 w-1 at step 3');
});

test('a suspicion of one who is not in the world halts nobody', () => {
  const story = createTraining();
  story.hello('spare');
  story.is('w-0', 'training', suspects('spare', 'w-0'));
  const told = story.wait(10_000);
  assert.deepEqual(
    told.filter((line) => line.includes("can't reach")),
    [],
  );
});

test('those that have left are forgotten but for a few, and soon', () => {
  const story = createTraining();
  for (let i = 0; i < 6_000; i++) {
    story.hello(`x-${i}`);
    story.closes(`x-${i}`);
  }
  story.wait(250, ['w-0', 'w-1']);
  assert.ok(seen(story).workers.length <= 34, `${seen(story).workers.length} rows`);
  story.wait(130_000, ['w-0', 'w-1']);
  assert.equal(seen(story).workers.length, 2);
});
