// Reads a checkpoint back into a training state, believing nothing: sizes, sums, names and shapes
// are checked before a value is used.

import { createHash } from 'node:crypto';
import type { NetworkSpec } from '../flat/layout.js';
import { ObjectNotFound, type ObjectStore } from '../store/store.js';
import type { Step } from '../words.js';
import type { CheckpointManifest, PartRecord } from './manifest.js';
import { partsOf, vectorsOfPart, type PartPlan } from './parts.js';
import { checkpointPrefix } from './paths.js';
import { decodeSafetensors } from './safetensors.js';
import type { NetworkState, TrainingState } from './state.js';

/** A checkpoint can't be read: torn, or of other networks than these. */
export class CheckpointBroken extends Error {
  constructor(
    readonly url: string,
    readonly step: Step,
    reason: string,
  ) {
    super(`checkpoint of step ${step} in ${url} can't be used: ${reason}`);
    this.name = 'CheckpointBroken';
  }
}

/**
 * Reads the state that a manifest names, for networks of these tensors (`Task.networks`); throws
 * `CheckpointBroken`. The vectors are new and owned by the caller.
 */
export async function readState(
  store: ObjectStore,
  manifest: CheckpointManifest,
  networks: readonly NetworkSpec[],
): Promise<TrainingState> {
  const broken = (reason: string): CheckpointBroken =>
    new CheckpointBroken(store.url, manifest.step, reason);
  const states: Record<string, NetworkState> = {};
  for (const network of networks) {
    const vectors = new Map<PartPlan['kind'], Float32Array[]>();
    for (const part of partsOf([network])) {
      const record = manifest.parts.find(({ name }) => name === part.name);
      if (record === undefined) throw broken(`it has no part ${part.name}`);
      const body = await readPart(store, manifest.step, record).catch((error: unknown) => {
        throw error instanceof ObjectNotFound ? broken(`${record.file} is missing`) : error;
      });
      try {
        requireSum(body, record);
        vectors.set(part.kind, vectorsOfPart(part, network, decodeSafetensors(body).tensors));
      } catch (error) {
        throw broken((error as Error).message);
      }
    }
    const updates = manifest.updates[network.name];
    if (updates === undefined) throw broken(`it does not tell the updates of ${network.name}`);
    states[network.name] = stateOf(vectors, updates);
  }
  return {
    step: manifest.step,
    networks: states,
    skippedInARow: manifest.skippedInARow ?? 0,
  };
}

async function readPart(store: ObjectStore, step: Step, record: PartRecord): Promise<Buffer> {
  // One byte more than there should be, so that a longer file shows without being read whole.
  return store.get(checkpointPrefix(step) + record.file, { start: 0, end: record.bytes + 1 });
}

function requireSum(body: Buffer, { file, bytes, sha256 }: PartRecord): void {
  if (body.length !== bytes) throw new Error(`${file} has not the ${bytes} bytes it should have`);
  if (createHash('sha256').update(body).digest('hex') !== sha256)
    throw new Error(`${file} has other bytes than its sum says`);
}

function stateOf(vectors: Map<PartPlan['kind'], Float32Array[]>, updates: number): NetworkState {
  const [parameters] = vectors.get('parameters') ?? [];
  const [firstMoment, secondMoment] = vectors.get('adam') ?? [];
  const [statistics = new Float32Array(0)] = vectors.get('statistics') ?? [];
  if (parameters === undefined || firstMoment === undefined || secondMoment === undefined)
    throw new Error('a network has parameters and moments');
  return { parameters, firstMoment, secondMoment, statistics, updates };
}
