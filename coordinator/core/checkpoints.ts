// Checkpoints in the making: workers store the parts, and when all parts of a step are known the
// manifest is written. Nothing here touches bytes.

import type { PartStored, SnapshotReport } from '../../shared/control/messages.js';
import type { CoordinatorState, PendingCheckpoint } from './state.js';
import type { Decision } from './transition.js';

/** Unfinished checkpoints that are remembered; older ones are forgotten first. */
const maxPending = 8;

/** Notes a stored part. */
export function addPart(state: CoordinatorState, part: PartStored): CoordinatorState {
  return update(state, part.step, (pending) => ({
    ...pending,
    parts: new Map(pending.parts).set(part.name, part),
  }));
}

/** Notes what a checkpoint consists of. */
export function addSnapshot(state: CoordinatorState, snapshot: SnapshotReport): CoordinatorState {
  return update(state, snapshot.step, (pending) => ({ ...pending, snapshot }));
}

function update(
  state: CoordinatorState,
  step: number,
  change: (pending: PendingCheckpoint) => PendingCheckpoint,
): CoordinatorState {
  const before = state.pending.get(step) ?? { parts: new Map(), snapshot: undefined };
  const pending = new Map(state.pending).set(step, change(before));
  while (pending.size > maxPending) pending.delete(Math.min(...pending.keys()));
  return { ...state, pending };
}

/** Asks for the manifest once every part that the snapshot names is stored. */
export function completeCheckpoint(state: CoordinatorState, step: number): Decision {
  const { parts, snapshot } = state.pending.get(step) ?? { parts: new Map(), snapshot: undefined };
  if (snapshot === undefined || !snapshot.parts.every((name) => parts.has(name)))
    return { state, effects: [] };
  const stored = snapshot.parts.flatMap((name) => parts.get(name) ?? []);
  const fingerprint = [...state.workers.values()][0]?.fingerprint ?? 'unknown';
  const worldSize = state.config.worldSize;
  return {
    state,
    effects: [{ kind: 'storeManifest', snapshot, parts: stored, worldSize, fingerprint }],
  };
}
