// Where a world starts when no worker has any state: the newest checkpoint whose every byte is as
// it was written. Asked only then: workers that live may be storing parts of a newer one.

import { newestWholeCheckpoint, type PassedOver } from '../../shared/checkpoint/read.js';
import { manifestKey } from '../../shared/checkpoint/manifest.js';
import type { RunRecord } from '../../shared/spec/record.js';
import { specDigest } from '../../shared/spec/compare.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { Step } from '../../shared/words.js';

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
 * Finds the newest whole checkpoint of the run and deletes the manifests of torn ones above it.
 * Throws when the store can't be reached, or when
 * the checkpoint is another run's.
 */
export async function findCheckpoint(
  store: ObjectStore,
  record: RunRecord,
): Promise<FoundCheckpoint> {
  const { manifest, passedOver } = await newestWholeCheckpoint(store);
  if (manifest !== undefined && manifest.specSha256 !== specDigest(record.spec))
    throw new Error(
      `the checkpoint of step ${manifest.step} in ${store.url} is of another spec than the run`,
    );
  await discard(store, passedOver);
  return {
    step: manifest?.step ?? 0,
    isStored: manifest !== undefined,
    sha256: manifest?.parametersSha256 ?? '',
    notices: passedOver.map(noticeOf),
  };
}

/**
 * Only the manifests: they are written once, and a torn one would be in the way. Parts are written
 * over, and may be a worker's that nobody hears at this moment, but that will tell of them.
 */
async function discard(store: ObjectStore, passedOver: readonly PassedOver[]): Promise<void> {
  for (const { step } of passedOver) await store.delete(manifestKey(step));
}

/** A line for the operator. */
function noticeOf({ step, reason }: PassedOver): string {
  return `checkpoint of step ${step} passed over: ${reason}`;
}
