// The run's checkpoints in the object store, as far as the coordinator has to do with them: where a
// world starts when no worker has any state, and the manifest that makes a checkpoint one.

import { writeBest, type BestCheckpoint } from '../../shared/checkpoint/best.js';
import { manifestKey, type CheckpointManifest } from '../../shared/checkpoint/manifest.js';
import { newestWholeCheckpoint } from '../../shared/checkpoint/read.js';
import { commitManifest, pruneCheckpoints } from '../../shared/checkpoint/write.js';
import { atMost } from '../../shared/clock.js';
import type { Log } from '../../shared/log.js';
import { messageOf } from '../../shared/problems.js';
import { specDigest } from '../../shared/spec/compare.js';
import type { RunRecord } from '../../shared/spec/record.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { Step } from '../../shared/words.js';
import type { CoordinatorEffect, CoordinatorEvent } from '../core/state.js';

/** Longest wait for old checkpoints to be deleted; it goes on meanwhile. */
const defaultPruneWaitMs = 5_000;

export type StoreManifest = CoordinatorEffect & { readonly kind: 'storeManifest' };

/** The checkpoints of a run; what comes of a request is an event for the core. */
export interface RunCheckpoints {
  /** Looks for the state that a world without any starts from. */
  find(done: (found: CoordinatorEvent) => void): void;
  /** Writes a manifest. */
  commit(wanted: StoreManifest, done: (outcome: CoordinatorEvent) => void): void;
  /** Writes down which checkpoint is the best one; what it can't write is a notice. */
  noteBest(best: BestCheckpoint): void;
}

/** What is reported of checkpoints besides the outcome. */
export interface CheckpointListeners {
  /** The checkpoint exists. What the listener begins is not waited for. */
  committed(step: number, sha256: string): void;
  notice(text: string): void;
  readonly log?: Log;
}

/** The checkpoints of a run in its store; what is found or fails is an event for the core. */
export function openCheckpoints(
  store: ObjectStore,
  record: RunRecord,
  listeners: CheckpointListeners,
): RunCheckpoints & { settled(): Promise<void> } {
  const { keep } = record.spec.checkpoint;
  let noting = Promise.resolve();
  return {
    find: (done) => void search(store, record, listeners).then(done),
    commit: (wanted, done) =>
      void commitCheckpoint(store, manifestOf(record, wanted), keep, listeners, {
        stepsToKeep: wanted.stepsToKeep,
      }).then(done),
    noteBest: (best) => {
      listeners.log?.info('best checkpoint', best);
      noting = noting
        .then(() => writeBest(store, best))
        .catch((error: unknown) =>
          listeners.notice(`step ${best.step} is not noted as the best: ${messageOf(error)}`),
        );
    },
    // What the last evaluation gave is written before the coordinator ends.
    settled: () => atMost(defaultPruneWaitMs, noting),
  };
}

async function search(
  store: ObjectStore,
  record: RunRecord,
  listeners: CheckpointListeners,
): Promise<CoordinatorEvent> {
  try {
    const { step, isStored, notices } = await findCheckpoint(store, record);
    for (const notice of notices) listeners.notice(notice);
    listeners.log?.info('checkpoint found', { step, isStored });
    return { kind: 'checkpointFound', step, isStored };
  } catch (error) {
    return { kind: 'searchFailed', reason: messageOf(error) };
  }
}

/** What was found. */
export interface FoundCheckpoint {
  /** The step to start from: the checkpoint's, or 0. */
  readonly step: Step;
  /** Whether there is a checkpoint of that step. */
  readonly isStored: boolean;
  /** Sum of the parameters in it; empty without one. */
  readonly sha256: string;
  /** What was passed over, for the operator. */
  readonly notices: readonly string[];
}

/**
 * Finds the newest checkpoint of the run whose every byte is as it was written, and deletes the
 * manifests of torn ones above it: they are written once, and would be in the way. Parts are
 * written over, and may be a worker's that nobody hears at this moment, but that will report them.
 * Throws when the store can't be reached, or when the checkpoint is another run's.
 */
export async function findCheckpoint(
  store: ObjectStore,
  record: RunRecord,
): Promise<FoundCheckpoint> {
  const { manifest, passedOver } = await newestWholeCheckpoint(store);
  if (manifest !== undefined && specDigest(manifest.spec) !== specDigest(record.spec))
    throw new Error(
      `the checkpoint of step ${manifest.step} in ${store.url} is of another spec than the run`,
    );
  for (const { step } of passedOver) await store.delete(manifestKey(step));
  return {
    step: manifest?.step ?? 0,
    isStored: manifest !== undefined,
    sha256: manifest?.parametersSha256 ?? '',
    notices: passedOver.map(({ step, reason }) => {
      return `checkpoint of step ${step} passed over: ${reason}`;
    }),
  };
}

function manifestOf(
  { spec, run }: RunRecord,
  { snapshot, parts, worldSize, fingerprint }: StoreManifest,
): CheckpointManifest {
  const { step, parametersSha256, updates, skippedInARow } = snapshot;
  return {
    format: 'lockstep-checkpoint/1',
    ...{ run, step, spec, specSha256: specDigest(spec), fingerprint, worldSize, updates },
    ...(skippedInARow === 0 ? {} : { skippedInARow }),
    datasetIndexSha256: spec.dataset.indexSha256 ?? '',
    parametersSha256,
    parts: parts.map(({ name, file, bytes, sha256 }) => ({ name, file, bytes, sha256 })),
    createdAt: new Date().toISOString(),
  };
}

interface PruneOptions {
  readonly stepsToKeep?: readonly Step[];
  /** Longest wait for old checkpoints to be deleted. */
  readonly pruneWaitMs?: number;
}

/**
 * Writes a manifest, reports it, and deletes all but the `keep` newest checkpoints and those of
 * `stepsToKeep`. Only the first
 * can fail; a checkpoint that exists stays one whatever happens to older ones. Never rejects.
 */
export async function commitCheckpoint(
  store: ObjectStore,
  manifest: CheckpointManifest,
  keep: number,
  listeners: CheckpointListeners,
  { stepsToKeep = [], pruneWaitMs = defaultPruneWaitMs }: PruneOptions = {},
): Promise<CoordinatorEvent & { kind: 'manifestStored' | 'manifestFailed' }> {
  const { step, parametersSha256 } = manifest;
  try {
    await commitManifest(store, manifest);
  } catch (error) {
    return { kind: 'manifestFailed', step, reason: messageOf(error) };
  }
  listeners.committed(step, parametersSha256);
  const pruning = pruneCheckpoints(store, keep, step, stepsToKeep).then(
    (steps) => {
      if (steps.length > 0) listeners.log?.info('checkpoints pruned', { steps });
    },
    (error: unknown) =>
      listeners.notice(`old checkpoints stay until the next one: ${messageOf(error)}`),
  );
  await atMost(pruneWaitMs, pruning);
  return { kind: 'manifestStored', step };
}
