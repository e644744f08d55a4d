// Checkpoints in the making, and digests of the state: workers store the parts, and when all parts
// of a step are known, and all workers had the same state, the manifest is written.

import type {
  DigestReport,
  EvaluationReport,
  PartStored,
  SnapshotReport,
} from '../../shared/control/messages.js';
import { exitCodes } from '../../shared/exit-codes.js';
import type { Step } from '../../shared/words.js';
import { fingerprintOf } from './admission.js';
import { forgetAbove, noteCheckpoint, noteEvaluation, stepsToKeep, type Contest } from './best.js';
import { countAt, halt, maxFailures } from './ending.js';
import {
  notice,
  workersOf,
  worldOf,
  type CoordinatorEffect,
  type CoordinatorState,
  type FormedWorld,
  type PendingCheckpoint,
} from './state.js';

/** Unfinished checkpoints that are remembered; older ones are forgotten first. */
const maxPending = 8;

/** Notes a stored part. */
export function addPart(state: CoordinatorState, worker: string, part: PartStored): void {
  const pending = pendingAt(state, part.step);
  pending?.parts.set(part.name, part);
  // One that was on its way when the state went back says nothing of the state of now.
  if (pending?.digests.has(worker) === false) pending.digests.set(worker, part.stateDigest);
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
  const created: PendingCheckpoint = {
    ...{ parts: new Map(), digests: new Map(), snapshot: undefined },
    ...{ generation: 0, isStoring: false },
  };
  state.pending.set(step, created);
  while (state.pending.size > maxPending) state.pending.delete(Math.min(...state.pending.keys()));
  return created;
}

/** Asks for the manifests of checkpoints whose parts are there, and of one and the same state. */
export function completeCheckpoints(state: CoordinatorState): CoordinatorEffect[] {
  return [...state.pending]
    .sort(([a], [b]) => a - b)
    .flatMap(([step, pending]) => {
      return complete(state, step, pending);
    });
}

function complete(
  state: CoordinatorState,
  step: Step,
  pending: PendingCheckpoint,
): CoordinatorEffect[] {
  const { parts, snapshot, digests, isStoring } = pending;
  if (snapshot === undefined || isStoring) return [];
  if (!snapshot.parts.every((name) => parts.has(name))) return [];
  const stored = snapshot.parts.flatMap((name) => parts.get(name) ?? []);
  const values = [...digests.values(), ...stored.map(({ stateDigest }) => stateDigest)];
  if (new Set(values).size > 1) return refuse(state, step, digests);
  if (isAwaited(state, pending)) return [];
  pending.isStoring = true;
  const members = worldOf(state)?.members;
  const computedWith = members && fingerprintOf(state, members);
  const fingerprint = computedWith ?? state.fingerprint ?? 'unknown';
  const worldSize = members?.length ?? state.target;
  const kept = state.contest === undefined ? [] : stepsToKeep(state.contest);
  return [
    {
      ...{ kind: 'storeManifest', snapshot, parts: stored, worldSize, fingerprint },
      stepsToKeep: kept,
    },
  ];
}

/** Whether the digest of a member of the world that is still training is missing. */
function isAwaited({ stage }: CoordinatorState, pending: PendingCheckpoint): boolean {
  if (stage.kind !== 'running' || stage.world.generation !== pending.generation) return false;
  return stage.world.members.some(({ worker }) => !pending.digests.has(worker));
}

function refuse(
  state: CoordinatorState,
  step: Step,
  digests: ReadonlyMap<string, string>,
): CoordinatorEffect[] {
  state.pending.delete(step);
  const text = `the checkpoint of step ${step} is not used: workers have different states`;
  const { stage } = state;
  const judged = stage.kind === 'running' ? judge(state, stage.world, step, digests) : [];
  return [notice(text), ...judged];
}

/** The manifest lies in the store: workers need not keep their reports for it. */
export function onManifestStored(state: CoordinatorState, step: Step): CoordinatorEffect[] {
  for (const known of [...state.pending.keys()]) if (known <= step) state.pending.delete(known);
  state.savedStep = Math.max(step, state.savedStep ?? 0);
  const message = { kind: 'checkpointed', step: state.savedStep } as const;
  const told = [...state.workers.keys()].map((worker): CoordinatorEffect => {
    return { kind: 'send', worker, message };
  });
  const { contest } = state;
  return contest !== undefined && noteCheckpoint(contest, step)
    ? [...told, ...noteBest(contest)]
    : told;
}

/** Notes an evaluation, and says so if another checkpoint is the best one now. */
export function judgeCheckpoint(
  { contest }: CoordinatorState,
  report: EvaluationReport,
): CoordinatorEffect[] {
  return contest !== undefined && noteEvaluation(contest, report) ? noteBest(contest) : [];
}

function noteBest({ best }: Contest): CoordinatorEffect[] {
  return best === undefined ? [] : [{ kind: 'noteBest', best }];
}

/** A world starts from an earlier checkpoint: what was stored above it does not count. */
export function setBack(state: CoordinatorState, step: Step, isStored: boolean): void {
  for (const known of [...state.pending.keys()]) if (known > step) state.pending.delete(known);
  state.savedStep = isStored ? step : undefined;
  if (state.contest !== undefined) forgetAbove(state.contest, step);
  state.newestStep = step;
}

/** Steps of which digests are compared at a time; older ones are forgotten. */
const maxSteps = 16;

/** A worker whose state differs for the second time stays out for so long. */
const exileMs = 3_600_000;

/**
 * Notes a digest of a step and compares it once those of all members are there. All workers of a
 * world have the same state, to the last bit; where they differ, somebody's memory or kernels are
 * at fault. Its gradients went into everybody's state since, so all go back to the newest
 * checkpoint, which was of a state that all had; the worker that differs from most is named, and
 * stays out when it happens again. Where nobody can be named time after time, the run ends.
 */
export function compareDigest(
  state: CoordinatorState,
  worker: string,
  { generation, step, value }: DigestReport,
): CoordinatorEffect[] {
  const { stage } = state;
  if (stage.kind !== 'running' || stage.world.generation !== generation) return [];
  const digests = state.digests.get(step) ?? new Map<string, string>();
  state.digests.set(step, digests.set(worker, value));
  while (state.digests.size > maxSteps) state.digests.delete(Math.min(...state.digests.keys()));
  if (digests.size < stage.world.members.length) return [];
  state.digests.delete(step);
  return judge(state, stage.world, step, digests);
}

/** Sends all back to the newest checkpoint if the digests of `step` differ. */
function judge(
  state: CoordinatorState,
  world: FormedWorld,
  step: Step,
  digests: ReadonlyMap<string, string>,
): CoordinatorEffect[] {
  const majority = findMajority([...digests.values()]);
  const odd = [...digests].filter(([, value]) => value !== majority).map(([worker]) => worker);
  if (odd.length === 0) return [];
  for (const view of workersOf(state)) if (view.status.hasState) view.isDiverged = true;
  const exiled = majority === undefined ? [] : odd.filter((worker) => exile(state, worker));
  const names = [...odd].sort().join(', ');
  const who = majority === undefined ? `${names} differ` : `${names} differs from the others`;
  const out =
    exiled.length === 0 ? '' : `, without ${exiled.join(', ')}, for it is not the first time`;
  const isStuck = majority === undefined && countSetback(state) >= maxFailures;
  const next = isStuck
    ? `, time ${maxFailures} without a new checkpoint between them`
    : `; all go back to the newest checkpoint${out}`;
  const hint = fingerprintOf(state, world.members)?.includes('/factored') ? factoredHint : '';
  const text = `the state after step ${step}: ${who}${next}${hint}`;
  // With other processors, or another memory, the same run may go on: then it is no mistake of its.
  const exitCode = hint === '' ? exitCodes.failed : exitCodes.configuration;
  if (isStuck) state.ending ??= { exitCode, reason: text };
  halt(state, world, 'abort', text);
  return [notice(text)];
}

const factoredHint =
  '; workers multiply factors of gradients each on its own, and processors or GPUs of different ' +
  'models may round a product differently: if they differ here, start a new run with ' +
  'exchange.factored: never';

/** How often all have gone back to the newest checkpoint with nobody to name. */
function countSetback(state: CoordinatorState): number {
  return countAt(state, `checkpoint:${state.savedStep ?? 'none'}`, false).count;
}

function exile(state: CoordinatorState, worker: string): boolean {
  const times = (state.oddities.get(worker) ?? 0) + 1;
  state.oddities.set(worker, times);
  const view = state.workers.get(worker);
  if (times < 2 || view === undefined) return false;
  view.benchedUntilMs = state.nowMs + exileMs;
  return true;
}

/** The value that more than half have. */
function findMajority(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].find(([, count]) => 2 * count > values.length)?.[0];
}
