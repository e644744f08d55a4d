// What workers compute with, as the coordinator sees it: mixed worlds are refused unless the spec
// allows them, and a run that goes on with something else says so.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStory, newStatus, trainTogether } from '../../support/coordinator-story.js';

const onnx = 'onnx/1/cpu';
const tensorflow = 'tensorflow/2/cpu/threads=1';

test('a worker that computes with something else than the others is refused once it says so', () => {
  const story = createStory();
  for (const worker of ['w-0', 'w-1'])
    story.hello(worker, { status: { ...newStatus, fingerprint: '' } });
  assert.deepEqual(story.is('w-0', 'ready', { fingerprint: onnx }), []);
  const told = story.is('w-1', 'ready', { fingerprint: tensorflow });
  assert.match(told[0] ?? '', /^dismiss 2 with 78: it computes with tensorflow\/2/);
  assert.match(told[0] ?? '', /w-0 with onnx\/1\/cpu.*engine\.mixed: true/);
  assert.equal(story.state.workers.has('w-1'), false);
});

test('a newcomer to a running world is refused for another number of threads alone', () => {
  const story = createStory();
  for (const worker of ['w-0', 'w-1'])
    story.hello(worker, { status: { ...newStatus, fingerprint: tensorflow } });
  story.hello('w-2', { status: { ...newStatus, fingerprint: '' } });
  const told = story.is('w-2', 'ready', { fingerprint: 'tensorflow/2/cpu/threads=2' });
  assert.match(told[0] ?? '', /^dismiss 3 with 78: .*threads=2, w-0 with .*threads=1/);
});

test('one that has left does not keep others from computing with something else', () => {
  const story = createStory();
  story.hello('w-0', { status: { ...newStatus, fingerprint: onnx } });
  story.closes('w-0');
  story.hello('w-1', { status: { ...newStatus, fingerprint: '' } });
  assert.deepEqual(story.is('w-1', 'ready', { fingerprint: tensorflow }), []);
});

test('a spec that allows it has mixed worlds, and checkpoints tell all that took part', () => {
  const story = createStory({ allowsMixed: true });
  story.hello('w-0', { status: { ...newStatus, fingerprint: tensorflow } });
  story.hello('w-1', { status: { ...newStatus, fingerprint: onnx } });
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
  const story = createStory({ savedFingerprint: onnx }, 4);
  trainTogether(story, ['w-0', 'w-1'], 4);
  assert.equal(story.state.fingerprint, onnx);
  assert.deepEqual(story.notices.filter(isAboutBytes), []);
});

test('a run that goes on with something else says so', () => {
  const story = createStory({ savedFingerprint: tensorflow }, 4);
  trainTogether(story, ['w-0', 'w-1'], 4);
  const [notice, ...more] = story.notices.filter(isAboutBytes);
  assert.match(notice ?? '', /from step 4 with onnx\/1\/cpu, and came there with tensorflow\/2/);
  assert.deepEqual(more, []);
});

const isAboutBytes = (text: string): boolean => text.includes('bytes');
