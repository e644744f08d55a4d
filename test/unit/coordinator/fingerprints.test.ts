// What workers compute with, as the coordinator sees it: mixed worlds are refused unless the spec
// allows them, and a run that goes on with something else says so.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createStory,
  createTraining,
  newStatus,
  type Story,
} from '../../support/coordinator-story.js';

const onnx = 'onnx/1/cpu';
const tensorflow = 'tensorflow/2/cpu/threads=1';
const helloWith = (story: Story, worker: string, fingerprint: string) =>
  story.hello(worker, { status: { ...newStatus, fingerprint } });

test('a worker that computes with something else than the others is refused once it says so', () => {
  const story = createStory();
  for (const worker of ['w-0', 'w-1']) helloWith(story, worker, '');
  assert.deepEqual(story.is('w-0', 'ready', { fingerprint: onnx }), []);
  const answer = story.is('w-1', 'ready', { fingerprint: tensorflow });
  assert.match(answer[0] ?? '', /^dismiss 2 with 7: it computes with tensorflow\/2/);
  assert.match(answer[0] ?? '', /w-0 with onnx\/1\/cpu.*engine\.mixed: true/);
  assert.equal(story.state.workers.has('w-1'), false);
});

test('a newcomer to a running world is refused for another number of threads alone', () => {
  const story = createStory();
  for (const worker of ['w-0', 'w-1']) helloWith(story, worker, tensorflow);
  helloWith(story, 'w-2', '');
  const [first = ''] = story.is('w-2', 'ready', { fingerprint: 'tensorflow/2/cpu/threads=2' });
  assert.match(first, /^dismiss 3 with 7: .*threads=2, w-0 with .*threads=1/);
});

test('one that has left does not keep others from computing with something else', () => {
  const story = createStory();
  helloWith(story, 'w-0', onnx);
  story.closes('w-0');
  helloWith(story, 'w-1', '');
  assert.deepEqual(story.is('w-1', 'ready', { fingerprint: tensorflow }), []);
});

test('a spec that allows it has mixed worlds, and checkpoints name all that took part', () => {
  const story = createStory({ allowsMixed: true });
  helloWith(story, 'w-0', tensorflow);
  helloWith(story, 'w-1', onnx);
  for (const [worker, fingerprint] of [
    ['w-0', tensorflow],
    ['w-1', onnx],
  ] as const)
    story.is(worker, 'ready', { fingerprint });
  story.happen({ kind: 'checkpointFound', step: 0, isStored: false });
  assert.equal(story.state.stage.kind, 'running');
  assert.equal(story.state.fingerprint, `${onnx} + ${tensorflow}`);
});

test('a run that goes on with what its checkpoint was made with says nothing of it', () => {
  const story = createTraining(2, { savedFingerprint: onnx }, 4);
  assert.equal(story.state.fingerprint, onnx);
  assert.deepEqual(story.notices.filter(isAboutBytes), []);
});

test('a run that goes on with something else says so', () => {
  const story = createTraining(2, { savedFingerprint: tensorflow }, 4);
  const [notice, ...more] = story.notices.filter(isAboutBytes);
  assert.match(notice ?? '', /from step 4 with onnx\/1\/cpu, and came there with tensorflow\/2/);
  assert.deepEqual(more, []);
});

const isAboutBytes = (text: string): boolean => text.includes('bytes');
