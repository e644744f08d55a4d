// A checkpoint becomes one: its manifest is written, that is told, and older ones are deleted.
// Only the first can fail; a checkpoint that exists stays one whatever happens to older ones.

import { commitManifest, pruneCheckpoints } from '../../shared/checkpoint/write.js';
import type { CheckpointManifest } from '../../shared/checkpoint/manifest.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { CoordinatorEvent } from '../core/state.js';
import { atMost } from './at-most.js';

/** Longest wait for old checkpoints to be deleted; it goes on meanwhile. */
const defaultPruneWaitMs = 5_000;

export interface CommitOptions {
  readonly store: ObjectStore;
  readonly manifest: CheckpointManifest;
  /** Checkpoints that stay. */
  readonly keep: number;
  /** The checkpoint exists. What it begins is not waited for. */
  readonly onCommitted: (step: number, sha256: string) => void;
  readonly onNotice: (text: string) => void;
  readonly pruneWaitMs?: number;
}

/** Commits a checkpoint; what came of it is an event for the core. Never rejects. */
export async function commitCheckpoint(
  options: CommitOptions,
): Promise<CoordinatorEvent & { kind: 'manifestStored' | 'manifestFailed' }> {
  const { store, manifest } = options;
  const { step, parametersSha256 } = manifest;
  try {
    await commitManifest(store, manifest);
  } catch (error) {
    return { kind: 'manifestFailed', step, reason: reasonOf(error) };
  }
  options.onCommitted(step, parametersSha256);
  const pruning = pruneCheckpoints(store, options.keep, step).catch((error: unknown) =>
    options.onNotice(`old checkpoints stay until the next one: ${reasonOf(error)}`),
  );
  await atMost(options.pruneWaitMs ?? defaultPruneWaitMs, pruning);
  return { kind: 'manifestStored', step };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
