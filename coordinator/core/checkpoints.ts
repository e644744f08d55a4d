// Checkpoints in the making: workers store the parts, and when all parts of a step are known the
// manifest is written. Nothing here touches bytes.

import type { PartStored, SnapshotReport } from '../../shared/control/messages.js';
import type { Step } from '../../shared/words.js';
import type { CoordinatorEffect, CoordinatorState, PendingCheckpoint } from './state.js';

/** Unfinished checkpoints that are remembered; older ones are forgotten first. */
export const maxPending = 8;

/** Notes a stored part. */
export function addPart(state: CoordinatorState, part: PartStored): CoordinatorEffect[] {
  const pending = pendingAt(state, part.step);
  if (pending === undefined || pending.isStoring) return [];
  pending.parts.set(part.name, part);
  return complete(state, part.step, pending);
}

/** Notes what a checkpoint consists of. */
export function addSnapshot(
  state: CoordinatorState,
  snapshot: SnapshotReport,
): CoordinatorEffect[] {
  const pending = pendingAt(state, snapshot.step);
  if (pending === undefined || pending.isStoring) return [];
  pending.snapshot = snapshot;
  return complete(state, snapshot.step, pending);
}

/** Undefined for a step whose checkpoint, or a later one, is whole already. */
function pendingAt(state: CoordinatorState, step: Step): PendingCheckpoint | undefined {
  if (state.savedStep !== undefined && step <= state.savedStep) return undefined;
  const known = state.pending.get(step);
  if (known !== undefined) return known;
  const created = { parts: new Map(), snapshot: undefined, isStoring: false };
  state.pending.set(step, created);
  while (state.pending.size > maxPending) state.pending.delete(Math.min(...state.pending.keys()));
  return created;
}

/** Asks for the manifest once every part that the snapshot names is stored. */
function complete(
  state: CoordinatorState,
  step: Step,
  pending: PendingCheckpoint,
): CoordinatorEffect[] {
  const { parts, snapshot } = pending;
  if (snapshot === undefined || !snapshot.parts.every((name) => parts.has(name))) return [];
  const stored = snapshot.parts.flatMap((name) => parts.get(name) ?? []);
  if (new Set(stored.map(({ stateDigest }) => stateDigest)).size > 1) {
    state.pending.delete(step);
    const text = `the checkpoint of step ${step} is not used: its parts are of different states`;
    return [{ kind: 'notice', text }];
  }
  pending.isStoring = true;
  const fingerprint = [...state.workers.values()][0]?.fingerprint ?? 'unknown';
  const { stage } = state;
  const worldSize = 'world' in stage ? stage.world.members.length : state.target;
  return [{ kind: 'storeManifest', snapshot, parts: stored, worldSize, fingerprint }];
}

/** The manifest lies in the store: workers need not keep what they told for it. */
export function onManifestStored(state: CoordinatorState, step: Step): CoordinatorEffect[] {
  for (const known of [...state.pending.keys()]) if (known <= step) state.pending.delete(known);
  state.savedStep = Math.max(step, state.savedStep ?? 0);
  const message = { kind: 'checkpointed', step: state.savedStep } as const;
  return [...state.workers.keys()].map((worker): CoordinatorEffect => {
    return { kind: 'send', worker, message };
  });
}

/** A world starts from an earlier checkpoint: what was stored above it does not count. */
export function setBack(state: CoordinatorState, step: Step, isStored: boolean): void {
  for (const known of [...state.pending.keys()]) if (known > step) state.pending.delete(known);
  state.savedStep = isStored ? step : undefined;
  state.newestStep = step;
}
