// Where a checkpoint lies below its run's url.

import type { Step } from '../words.js';

/** All checkpoints of a run. */
export const checkpointsPrefix = 'checkpoints/';

/** "checkpoints/step-00000100/" */
export function checkpointPrefix(step: Step): string {
  return `${checkpointsPrefix}step-${String(step).padStart(8, '0')}/`;
}

/** The manifest of a checkpoint: written last, and with it the checkpoint exists. */
export function manifestKey(step: Step): string {
  return `${checkpointPrefix(step)}manifest.json`;
}

/** The file name of a part. */
export function partFile(name: string): string {
  return `${name}.safetensors`;
}

/** Which checkpoint, and which file of it, a key is; undefined for anything else. */
export function parseCheckpointKey(key: string): { step: Step; file: string } | undefined {
  const match = /^checkpoints\/step-(\d{8,15})\/([^/]+)$/.exec(key);
  if (!match) return undefined;
  const step = Number(match[1]);
  return checkpointPrefix(step) + match[2] === key ? { step, file: match[2] } : undefined;
}
