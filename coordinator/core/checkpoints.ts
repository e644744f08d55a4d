// Checkpoints in the making: workers store the parts, and when all parts of a step are known, and
// all workers had the same state, the manifest is written. Nothing here touches bytes.

import type { DigestReport, PartStored, SnapshotReport } from '../../shared/control/messages.js';
import type { Step } from '../../shared/words.js';
import { judge } from './divergence.js';
import { fingerprintOf } from './fingerprints.js';
import type { CoordinatorEffect, CoordinatorState, PendingCheckpoint } from './state.js';

/** Unfinished checkpoints that are remembered; older ones are forgotten first. */
export const maxPending = 8;

/** Notes a stored part. */
export function addPart(state: CoordinatorState, worker: string, part: PartStored): void {
  const pending = pendingAt(state, part.step);
  pending?.parts.set(part.name, part);
  pending?.digests.set(worker, part.stateDigest);
}

/** Notes what a checkpoint consists of. */
export function addSnapshot(state: CoordinatorState, snapshot: SnapshotReport): void {
  const pending = pendingAt(state, snapshot.step);
  if (pending !== undefined) pending.snapshot = snapshot;
}

/** Notes what a worker's whole state is like at the step of a checkpoint. */
export function addWholeDigest(
  state: CoordinatorState,
  worker: string,
  { generation, step, value }: DigestReport,
): void {
  const pending = pendingAt(state, step);
  if (pending === undefined || generation < pending.generation) return;
  if (generation > pending.generation) pending.digests.clear();
  pending.generation = generation;
  pending.digests.set(worker, value);
}

/** Undefined for a step whose checkpoint, or a later one, is whole or being made so. */
function pendingAt(state: CoordinatorState, step: Step): PendingCheckpoint | undefined {
  if (state.savedStep !== undefined && step <= state.savedStep) return undefined;
  const known = state.pending.get(step);
  if (known !== undefined) return known.isStoring ? undefined : known;
  const digests = new Map<string, string>();
  const created = {
    parts: new Map(),
    snapshot: undefined,
    digests,
    generation: 0,
    isStoring: false,
  };
  state.pending.set(step, created);
  while (state.pending.size > maxPending) state.pending.delete(Math.min(...state.pending.keys()));
  return created;
}

/** Asks for the manifests of checkpoints whose parts are there, and of one and the same state. */
export function completeCheckpoints(state: CoordinatorState, nowMs: number): CoordinatorEffect[] {
  return [...state.pending.keys()]
    .sort((a, b) => a - b)
    .flatMap((step) => complete(state, step, state.pending.get(step), nowMs));
}

function complete(
  state: CoordinatorState,
  step: Step,
  pending: PendingCheckpoint | undefined,
  nowMs: number,
): CoordinatorEffect[] {
  if (pending?.snapshot === undefined || pending.isStoring) return [];
  const { parts, snapshot, digests } = pending;
  if (!snapshot.parts.every((name) => parts.has(name))) return [];
  const stored = snapshot.parts.flatMap((name) => parts.get(name) ?? []);
  const values = [...digests.values(), ...stored.map(({ stateDigest }) => stateDigest)];
  if (new Set(values).size > 1) return refuse(state, step, digests, nowMs);
  if (isAwaited(state, pending)) return [];
  pending.isStoring = true;
  const { stage } = state;
  const told = 'world' in stage ? fingerprintOf(state, stage.world.members) : undefined;
  const fingerprint = told ?? state.fingerprint ?? 'unknown';
  const worldSize = 'world' in stage ? stage.world.members.length : state.target;
  return [{ kind: 'storeManifest', snapshot, parts: stored, worldSize, fingerprint }];
}

/** Whether a member of the world that is still training has not told its digest yet. */
function isAwaited({ stage }: CoordinatorState, pending: PendingCheckpoint): boolean {
  if (stage.kind !== 'running' || stage.world.generation !== pending.generation) return false;
  return stage.world.members.some(({ worker }) => !pending.digests.has(worker));
}

function refuse(
  state: CoordinatorState,
  step: Step,
  digests: ReadonlyMap<string, string>,
  nowMs: number,
): CoordinatorEffect[] {
  state.pending.delete(step);
  const text = `the checkpoint of step ${step} is not used: workers have different states`;
  const { stage } = state;
  const judged = stage.kind === 'running' ? judge(state, stage.world, step, digests, nowMs) : [];
  return [{ kind: 'notice', text }, ...judged];
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
