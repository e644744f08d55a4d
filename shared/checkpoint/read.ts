// The checkpoints of a run: which there are, whether one is whole, and its state. Sizes, sums,
// names and shapes are checked before a value is used. Only what is in the store decides; a store
// that can't be reached is an error, not a broken checkpoint.

import { createHash } from 'node:crypto';
import type { NetworkSpec } from '../layout.js';
import { sha256Of } from '../sha256.js';
import { ObjectNotFound, type ObjectStore } from '../store/store.js';
import type { Step } from '../words.js';
import {
  checkpointPrefix,
  checkpointsPrefix,
  manifestKey,
  manifestRange,
  parseCheckpointKey,
  parseManifest,
  type CheckpointManifest,
  type PartRecord,
} from './manifest.js';
import { fillFromPart, formOfPart, partsOf, type PartPlan } from './parts.js';
import { decodeSafetensors } from './safetensors.js';
import { createState, type NetworkState, type TrainingState } from './state.js';

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
    const parsed = parseManifest(await store.get(manifestKey(step), manifestRange), step);
    return typeof parsed === 'string' ? { file, kind: 'invalid', text: parsed } : parsed;
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

/** A file that others have written may say more of its tensors than ours do. */
const mostOtherHeader = 8 * 1024 * 1024;

/**
 * Reads the state that a manifest names, for networks of these tensors (`Task.networks`); throws
 * when it is torn, or of other networks. The vectors are new and owned by the caller.
 */
export async function readState(
  store: ObjectStore,
  manifest: CheckpointManifest,
  networks: readonly NetworkSpec[],
): Promise<TrainingState> {
  const broken = (reason: string): Error =>
    new Error(`checkpoint of step ${manifest.step} in ${store.url} can't be used: ${reason}`);
  const state = createState(networks);
  for (const network of networks) {
    const own = state.networks[network.name];
    for (const part of partsOf([network])) {
      const record = manifest.parts.find(({ name }) => name === part.name);
      if (record === undefined) throw broken(`it has no part ${part.name}`);
      const due = formOfPart(part, [network]).bytes;
      if (record.bytes > due + mostOtherHeader)
        throw broken(
          `${record.file} would have ${record.bytes} bytes, not the ${due} of its tensors`,
        );
      const body = await readPart(store, manifest.step, record).catch((error: unknown) => {
        throw error instanceof ObjectNotFound ? broken(`${record.file} is missing`) : error;
      });
      try {
        decodePart(body, record, part, network, own);
      } catch (error) {
        throw broken((error as Error).message);
      }
    }
    const updates = manifest.updates[network.name];
    if (updates === undefined) throw broken(`it does not tell the updates of ${network.name}`);
    own.updates = updates;
  }
  const { step, skippedInARow = 0 } = manifest;
  return Object.assign(state, { step, skippedInARow });
}

async function readPart(store: ObjectStore, step: Step, record: PartRecord): Promise<Buffer> {
  // One byte more than there should be, so that a longer file shows without being read whole.
  return store.get(checkpointPrefix(step) + record.file, { start: 0, end: record.bytes + 1 });
}

function decodePart(
  body: Buffer,
  { file, bytes, sha256 }: PartRecord,
  part: PartPlan,
  network: NetworkSpec,
  state: NetworkState,
): void {
  if (body.length !== bytes) throw new Error(`${file} has not the ${bytes} bytes it should have`);
  if (sha256Of(body) !== sha256) throw new Error(`${file} has other bytes than its sum says`);
  fillFromPart(part, network, decodeSafetensors(body).tensors, state);
}
