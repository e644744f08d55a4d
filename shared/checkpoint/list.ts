// The checkpoints of a run: which there are, which is the newest whole one, and which may go.

import type { ObjectStore } from '../store/store.js';
import type { Step } from '../words.js';
import type { CheckpointManifest } from './manifest.js';
import { checkpointsPrefix, manifestKey, parseCheckpointKey } from './paths.js';
import { verifyCheckpoint } from './verify.js';

/** A checkpoint's folder, its sums not looked at. */
export interface CheckpointEntry {
  readonly step: Step;
  /** Without a manifest it was never finished (or is being written). */
  readonly hasManifest: boolean;
  readonly files: readonly string[];
  readonly bytes: number;
}

/** The checkpoints of a run, oldest first; none of them verified. */
export async function listCheckpoints(store: ObjectStore): Promise<CheckpointEntry[]> {
  const found = new Map<Step, { files: string[]; bytes: number }>();
  for await (const { key, bytes } of store.list(checkpointsPrefix)) {
    const place = parseCheckpointKey(key);
    if (place === undefined) continue;
    const entry = found.get(place.step) ?? { files: [], bytes: 0 };
    found.set(place.step, { files: [...entry.files, place.file], bytes: entry.bytes + bytes });
  }
  return [...found]
    .map(([step, entry]) => ({
      step,
      ...entry,
      hasManifest: entry.files.includes('manifest.json'),
    }))
    .sort((a, b) => a.step - b.step);
}

/** A checkpoint that was newer and not whole, and why. */
export interface PassedOver {
  readonly step: Step;
  readonly reason: string;
}

/** The newest checkpoint whose every byte is as its manifest says; what was newer but torn. */
export async function newestWholeCheckpoint(store: ObjectStore): Promise<{
  readonly manifest: CheckpointManifest | undefined;
  readonly passedOver: readonly PassedOver[];
}> {
  const passedOver: PassedOver[] = [];
  for (const { step } of (await listCheckpoints(store)).reverse()) {
    const { manifest, faults } = await verifyCheckpoint(store, step);
    if (manifest !== undefined && faults.length === 0) return { manifest, passedOver };
    passedOver.push({ step, reason: faults.map(({ text }) => text).join('; ') });
  }
  return { manifest: undefined, passedOver };
}

/** Deletes a checkpoint: the manifest first, so that it is gone before it is torn. */
export async function deleteCheckpoint(store: ObjectStore, entry: CheckpointEntry): Promise<void> {
  await store.delete(manifestKey(entry.step));
  const folder = manifestKey(entry.step).replace(/manifest\.json$/, '');
  for (const file of entry.files) if (file !== 'manifest.json') await store.delete(folder + file);
}

/** The checkpoints that may go, so that `keep` finished ones and step `whole` stay. */
export function checkpointsToPrune(
  entries: readonly CheckpointEntry[],
  keep: number,
  whole: Step,
): CheckpointEntry[] {
  const finished = entries.filter(({ hasManifest }) => hasManifest);
  const newest = [...finished].sort((a, b) => b.step - a.step).slice(0, Math.max(1, keep));
  const kept = new Set([whole, ...newest.map(({ step }) => step)]);
  // Newer than the whole one and unfinished: perhaps being written at this moment.
  return entries.filter(
    ({ step, hasManifest }) => !kept.has(step) && (hasManifest || step < whole),
  );
}

/**
 * Deletes all but the `keep` newest checkpoints and leftovers of unfinished ones; never the newest
 * whole one. `knownWhole` is a step that the caller knows to be whole, having just committed it;
 * without it checkpoints are read and summed up to find one. Gives the steps deleted.
 */
export async function pruneCheckpoints(
  store: ObjectStore,
  keep: number,
  knownWhole?: Step,
): Promise<Step[]> {
  const entries = await listCheckpoints(store);
  // Nothing to delete whichever is whole: then nothing needs to be read.
  if (entries.length <= keep && entries.every(({ hasManifest }) => hasManifest)) return [];
  const whole = knownWhole ?? (await newestWholeCheckpoint(store)).manifest?.step;
  if (whole === undefined) return [];
  const doomed = checkpointsToPrune(entries, keep, whole);
  for (const entry of doomed) await deleteCheckpoint(store, entry);
  return doomed.map(({ step }) => step);
}
