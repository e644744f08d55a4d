// Writing and deleting checkpoints. Parts first, by each worker that has a share, and the manifest
// last: until it is there the checkpoint does not exist, and it is never replaced by another.

import { sha256Of } from '../sha256.js';
import { PreconditionFailed, type ObjectStore } from '../store/store.js';
import type { Step } from '../words.js';
import {
  encodeManifest,
  isSameCheckpoint,
  parseManifest,
  type CheckpointManifest,
  type PartRecord,
  checkpointPrefix,
  manifestKey,
  manifestRange,
  partFile,
} from './manifest.js';
import type { EncodedPart } from './parts.js';
import { listCheckpoints, newestWholeCheckpoint, type CheckpointEntry } from './read.js';

/** Stores one part and says what the manifest must say of it. */
export async function storePart(
  store: ObjectStore,
  step: Step,
  part: EncodedPart,
): Promise<PartRecord> {
  const file = partFile(part.name);
  // The sum is of the bytes that are given to the store, taken before they leave.
  const sha256 = sha256Of(part.body);
  await store.put(checkpointPrefix(step) + file, part.body);
  return { name: part.name, file, bytes: part.body.length, sha256 };
}

/**
 * Writes the manifest, with which the checkpoint exists. That an equal one is there (the same
 * state, whenever and by however many workers it was written) is success: "already-there".
 * Throws when another one is.
 */
export async function commitManifest(
  store: ObjectStore,
  manifest: CheckpointManifest,
): Promise<'committed' | 'already-there'> {
  const key = manifestKey(manifest.step);
  const body = encodeManifest(manifest);
  try {
    await store.put(key, body, { ifAbsent: true, contentType: 'application/json' });
    return 'committed';
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
  const there = parseManifest(await store.get(key, manifestRange), manifest.step);
  if (typeof there !== 'string' && isSameCheckpoint(there, manifest)) return 'already-there';
  const reason = typeof there === 'string' ? there : 'is of another state';
  throw new Error(
    `${store.url}/${key} is there already and ${reason}; ` +
      'is another coordinator writing to this run?',
  );
}

/** Deletes a checkpoint: the manifest first, so that it is gone before it is torn. */
async function deleteCheckpoint(store: ObjectStore, { step, files }: CheckpointEntry) {
  await store.delete(manifestKey(step));
  for (const file of files)
    if (file !== 'manifest.json') await store.delete(checkpointPrefix(step) + file);
}

/** The checkpoints that may go, so that `keep` finished ones, step `whole` and `others` stay. */
export function checkpointsToPrune(
  entries: readonly CheckpointEntry[],
  keep: number,
  whole: Step,
  others: readonly Step[] = [],
): CheckpointEntry[] {
  const finished = entries.filter(({ hasManifest }) => hasManifest);
  const newest = [...finished].sort((a, b) => b.step - a.step).slice(0, Math.max(1, keep));
  const kept = new Set([whole, ...others, ...newest.map(({ step }) => step)]);
  // Newer than the whole one and unfinished: perhaps being written at this moment.
  return entries.filter(
    ({ step, hasManifest }) => !kept.has(step) && (hasManifest || step < whole),
  );
}

/**
 * Deletes all but the `keep` newest checkpoints and leftovers of unfinished ones; never the newest
 * whole one. `knownWhole` is a step that the caller knows to be whole, having just committed it;
 * without it checkpoints are read and summed up to find one. `others` are steps that stay as well.
 * Gives the steps deleted.
 */
export async function pruneCheckpoints(
  store: ObjectStore,
  keep: number,
  knownWhole?: Step,
  others: readonly Step[] = [],
): Promise<Step[]> {
  const entries = await listCheckpoints(store);
  // Nothing to delete whichever is whole: then nothing needs to be read.
  if (entries.length <= keep && entries.every(({ hasManifest }) => hasManifest)) return [];
  const whole = knownWhole ?? (await newestWholeCheckpoint(store)).manifest?.step;
  if (whole === undefined) return [];
  const doomed = checkpointsToPrune(entries, keep, whole, others);
  for (const entry of doomed) await deleteCheckpoint(store, entry);
  return doomed.map(({ step }) => step);
}
