// The sample pictures of a run, and its history made from them.

import { decodePicture } from '../../dataset/decode.js';
import { encodeHistory, encodePng, mostFrames, thinOut } from '../../inference/pictures/encode.js';
import type { Picture } from '../../inference/pictures/picture.js';
import {
  frameKey,
  framePrefix,
  largestFrame,
  sampleKey,
  stepOfFrame,
} from '../../shared/store/sample-keys.js';
import { ObjectNotFound, type ObjectStore } from '../../shared/store/store.js';
import type { Step } from '../../shared/words.js';

const mostListed = 100_000;

/** Writes the pictures of a step; the same step's earlier ones (before a resume) are replaced. */
export async function putSamples(
  run: ObjectStore,
  step: Step,
  pictures: { readonly grid: Picture; readonly frame: Picture },
): Promise<void> {
  const type = { contentType: 'image/png' };
  await run.put(frameKey(step), await encodePng(pictures.frame), type);
  await run.put(sampleKey(step), await encodePng(pictures.grid), type);
}

/** The run's history as an animated GIF; undefined when it has no frames. */
export async function readHistory(run: ObjectStore): Promise<Buffer | undefined> {
  const steps = await frameSteps(run);
  const frames = [];
  for (const step of thinOut(steps, mostFrames)) {
    const file = await readFrame(run, frameKey(step));
    if (file !== undefined) frames.push({ step, picture: await decodePicture(file) });
  }
  return frames.length === 0 ? undefined : await encodeHistory(frames);
}

async function frameSteps(run: ObjectStore): Promise<Step[]> {
  const steps: Step[] = [];
  for await (const { key, bytes } of run.list(framePrefix)) {
    const step = stepOfFrame(key);
    if (step !== undefined && bytes <= largestFrame) steps.push(step);
    if (steps.length >= mostListed) break;
  }
  return steps.sort((a, b) => a - b);
}

async function readFrame(run: ObjectStore, key: string): Promise<Buffer | undefined> {
  try {
    return await run.get(key, { start: 0, end: largestFrame });
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}
