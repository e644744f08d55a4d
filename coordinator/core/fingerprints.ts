// What the workers compute with. Another engine, version, provider or, for some engines, number of
// threads gives other bytes: such workers make no world together unless the spec allows it, and a
// run that goes on with another one says so.

import { exitCodes } from '../../shared/exit-codes.js';
import type { World } from '../../shared/words.js';
import { viewOf } from './liveness.js';
import type { CoordinatorEffect, CoordinatorState, WorkerView } from './state.js';

/**
 * Lets a worker go that computes with something else than the others: it has loaded the run only
 * now, or it joins a coordinator that has just taken over.
 */
export function refuseMixed(state: CoordinatorState, view: WorkerView): CoordinatorEffect[] {
  const { fingerprint } = view.status;
  const other = fingerprint === '' ? undefined : findOther(state, view);
  if (state.config.allowsMixed === true || other === undefined || view.session === undefined)
    return [];
  state.workers.delete(view.worker);
  const reason =
    `it computes with ${fingerprint}, ${other.worker} with ${other.status.fingerprint}, which ` +
    'gives other bytes; engine.mixed: true in the spec allows it';
  return [
    { kind: 'dismiss', session: view.session, exitCode: exitCodes.configuration, reason },
    { kind: 'notice', text: `${view.worker} was refused: ${reason}` },
  ];
}

/** Another worker that is there, or in the world, and computes with something else. */
function findOther(state: CoordinatorState, view: WorkerView): WorkerView | undefined {
  const { stage } = state;
  const members = 'world' in stage ? stage.world.members.map(({ worker }) => worker) : [];
  return [...state.workers.values()].find(({ worker, session, status }) => {
    const counts = worker !== view.worker && status.fingerprint !== '';
    const isThere = session !== undefined || members.includes(worker);
    return counts && isThere && status.fingerprint !== view.status.fingerprint;
  });
}

/** What a world computes with: one fingerprint, or with a spec that mixes them, all of them. */
export function fingerprintOf(
  state: CoordinatorState,
  members: World['members'],
): string | undefined {
  const known = members.map((member) => viewOf(state, member)?.status.fingerprint ?? '');
  const distinct = [...new Set(known)].filter((fingerprint) => fingerprint !== '').sort();
  return distinct.length === 0 ? undefined : distinct.join(' + ');
}

/** Notes what a world that was just formed computes with; says so when it is something else. */
export function noteFingerprint(
  state: CoordinatorState,
  { members, step }: World & { readonly step: number },
): CoordinatorEffect[] {
  const before = state.fingerprint;
  const now = fingerprintOf(state, members);
  state.fingerprint = now ?? before;
  if (before === undefined || now === undefined || now === before) return [];
  const text =
    `the run goes on from step ${step} with ${now}, and came there with ${before}: its bytes ` +
    'will be those of neither alone';
  return [{ kind: 'notice', text }];
}
