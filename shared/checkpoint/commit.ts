// Writing a checkpoint: parts first, by whoever has a share, and the manifest last. Until it is
// there the checkpoint does not exist, and it is never replaced by another.

import { createHash } from 'node:crypto';
import { PreconditionFailed, type ObjectStore } from '../store/store.js';
import type { Step } from '../words.js';
import { encodeManifest, isSameCheckpoint, parseManifest } from './manifest.js';
import type { CheckpointManifest, PartRecord } from './manifest.js';
import type { EncodedPart } from './parts.js';
import { checkpointPrefix, manifestKey, partFile } from './paths.js';

/** Stores one part and says what the manifest must say of it. */
export async function storePart(
  store: ObjectStore,
  step: Step,
  part: EncodedPart,
): Promise<PartRecord> {
  const file = partFile(part.name);
  // The sum is of the bytes that are given to the store, taken before they leave.
  const sha256 = createHash('sha256').update(part.body).digest('hex');
  await store.put(checkpointPrefix(step) + file, part.body);
  return { name: part.name, file, bytes: part.body.length, sha256 };
}

/** Another checkpoint of the same step is there already. */
export class ManifestConflict extends Error {
  constructor(
    readonly url: string,
    readonly step: Step,
    reason: string,
  ) {
    super(
      `${url}/${manifestKey(step)} is there already and ${reason}; ` +
        'is another coordinator writing to this run?',
    );
    this.name = 'ManifestConflict';
  }
}

/**
 * Writes the manifest, with which the checkpoint exists. That an equal one is there (the same
 * state, whenever and by however many workers it was written) is success: "already-there".
 * Throws `ManifestConflict` when another one is.
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
  const there = parseManifest(await store.get(key), manifest.step);
  if (there.kind === 'fault') throw new ManifestConflict(store.url, manifest.step, there.reason);
  if (!isSameCheckpoint(there.manifest, manifest))
    throw new ManifestConflict(store.url, manifest.step, 'is of another state');
  return 'already-there';
}
