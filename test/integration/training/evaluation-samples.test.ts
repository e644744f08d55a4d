import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import sharp from 'sharp';
import { createPicture } from '../../../inference/pictures/picture.js';
import { createFileStore } from '../../../shared/store/file-store.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import { frameKey, sampleKey, stepOfFrame } from '../../../shared/store/sample-keys.js';
import { putSamples, readHistory } from '../../../worker/evaluation/samples.js';

async function openRun(t: TestContext): Promise<ObjectStore> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-samples-'));
  const store = createFileStore(`file://${folder}`, folder);
  t.after(async () => {
    await store.close();
    await rm(folder, { recursive: true });
  });
  return store;
}

const pictures = (shade: number) => ({
  grid: createPicture(120, 40, [shade, shade, shade]),
  frame: createPicture(120, 20, [shade, shade, shade]),
});

test('samples lie below the run under the name of their step', async (t) => {
  const run = await openRun(t);
  assert.equal(sampleKey(50), 'samples/step-00000050.png');
  await putSamples(run, 50, pictures(9));
  const { width, format } = await sharp(await run.get(sampleKey(50))).metadata();
  assert.deepEqual([width, format], [120, 'png']);
});

test('the history has a frame for each step, in the order of steps', async (t) => {
  const run = await openRun(t);
  for (const step of [100, 5, 50]) await putSamples(run, step, pictures(step));
  await putSamples(run, 50, pictures(51));
  await run.put('samples/history/notes.txt', Buffer.from('not a frame'));
  const gif = await readHistory(run);
  assert.ok(gif !== undefined);
  assert.equal((await sharp(gif, { animated: true }).metadata()).pages, 3);
  const shades = await Promise.all(
    [0, 1, 2].map(async (page) => (await sharp(gif, { page }).raw().toBuffer()).at(-4)),
  );
  [5, 51, 100].forEach((shade, i) => assert.ok(Math.abs((shades[i] ?? 0) - shade) < 8));
});

test('a run without samples has no history', async (t) => {
  assert.equal(await readHistory(await openRun(t)), undefined);
});

test('only the keys of frames name a step', () => {
  assert.equal(stepOfFrame(frameKey(123_456_789)), 123_456_789);
  assert.equal(stepOfFrame(sampleKey(3)), undefined);
  assert.equal(stepOfFrame('samples/history/step-1.png'), undefined);
});
