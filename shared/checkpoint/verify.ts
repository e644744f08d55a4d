// Is a checkpoint whole? Reads its manifest and sums up every part, a slice at a time. Only what
// is in the store decides; a store that can't be reached is an error, not a broken checkpoint.

import { createHash } from 'node:crypto';
import { ObjectNotFound, type ObjectStore } from '../store/store.js';
import type { Step } from '../words.js';
import { parseManifest, type CheckpointManifest, type PartRecord } from './manifest.js';
import { checkpointPrefix, manifestKey } from './paths.js';

/** One thing that is wrong with a checkpoint. */
export interface CheckpointFault {
  /** The file in the checkpoint's folder. */
  readonly file: string;
  readonly kind: 'missing' | 'short' | 'long' | 'flipped' | 'invalid';
  /** In words: "generator.safetensors is missing". */
  readonly text: string;
}

/** What was found. A checkpoint is whole when it has no faults. */
export interface Verification {
  readonly step: Step;
  readonly manifest: CheckpointManifest | undefined;
  readonly faults: readonly CheckpointFault[];
  readonly bytes: number;
}

const sliceBytes = 16 * 1024 * 1024;

/** Reads the manifest of a checkpoint; a fault when it is missing or not valid. */
export async function readManifest(
  store: ObjectStore,
  step: Step,
): Promise<CheckpointManifest | CheckpointFault> {
  const file = 'manifest.json';
  try {
    const parsed = parseManifest(await store.get(manifestKey(step)), step);
    if (parsed.kind === 'manifest') return parsed.manifest;
    return { file, kind: 'invalid', text: parsed.reason };
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error;
    return { file, kind: 'missing', text: 'it has no manifest: it was never finished' };
  }
}

/** Whether `readManifest` gave a manifest. */
export function isManifest(
  found: CheckpointManifest | CheckpointFault,
): found is CheckpointManifest {
  return 'format' in found;
}

/** Sums up a checkpoint and names everything that is wrong with it. */
export async function verifyCheckpoint(store: ObjectStore, step: Step): Promise<Verification> {
  const manifest = await readManifest(store, step);
  if (!isManifest(manifest)) return { step, manifest: undefined, faults: [manifest], bytes: 0 };
  const faults: CheckpointFault[] = [];
  for (const part of manifest.parts) {
    const fault = await findFault(store, step, part);
    if (fault !== undefined) faults.push(fault);
  }
  const bytes = manifest.parts.reduce((sum, part) => sum + part.bytes, 0);
  return { step, manifest, faults, bytes };
}

async function findFault(
  store: ObjectStore,
  step: Step,
  part: PartRecord,
): Promise<CheckpointFault | undefined> {
  const { file } = part;
  const key = checkpointPrefix(step) + file;
  const found = await store.head(key);
  if (found === undefined) return { file, kind: 'missing', text: `${file} is missing` };
  if (found.bytes !== part.bytes) {
    const kind = found.bytes < part.bytes ? 'short' : 'long';
    return { file, kind, text: `${file} has ${found.bytes} bytes instead of ${part.bytes}` };
  }
  const hash = createHash('sha256');
  try {
    for (let start = 0; start < part.bytes; start += sliceBytes)
      hash.update(await store.get(key, { start, end: Math.min(start + sliceBytes, part.bytes) }));
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error;
    return { file, kind: 'missing', text: `${file} is missing` };
  }
  if (hash.digest('hex') === part.sha256) return undefined;
  return { file, kind: 'flipped', text: `${file} has other bytes than its sum says` };
}
