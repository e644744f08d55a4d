// Where the pictures of the fixed faces lie below a run, by the step that they show.

import type { Step } from '../words.js';

/** Where the frames of the history lie. */
export const framePrefix = 'samples/history/';

/** Longest picture that is read. */
export const largestFrame = 64 * 1024 * 1024;

/** Key of the sample picture of a step, below the run. */
export function sampleKey(step: Step): string {
  return `samples/${stepName(step)}.png`;
}

/** Key of the history frame of a step, below the run. */
export function frameKey(step: Step): string {
  return `${framePrefix}${stepName(step)}.png`;
}

function stepName(step: Step): string {
  return `step-${String(step).padStart(8, '0')}`;
}

/** The step of a frame's key; undefined for any other key. */
export function stepOfFrame(key: string): Step | undefined {
  const digits = /^samples\/history\/step-(\d{8,15})\.png$/.exec(key)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
