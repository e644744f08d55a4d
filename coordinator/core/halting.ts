// Between two worlds: the members halt, and then it is decided what follows: the next world, the
// end of the run, or waiting for workers.

import { exitCodes } from '../../shared/exit-codes.js';
import type { Step } from '../../shared/words.js';
import { findCandidates, formWorld, newestStepOf } from './forming.js';
import { startFinishing } from './finishing.js';
import {
  findCutLinks,
  findLosses,
  isReachable,
  longestSilenceMs,
  tellLosses,
  viewOf,
} from './liveness.js';
import { dialAnew } from './running.js';
import { gather, isFree } from './stages.js';
import type { CoordinatorEffect, CoordinatorState, Ending, Stage, WorkerView } from './state.js';

type Halting = Stage & { readonly kind: 'halting' };

/** Goes on as soon as every member that can be waited for has halted. */
export function awaitHalt(
  state: CoordinatorState,
  stage: Halting,
  nowMs: number,
): CoordinatorEffect[] {
  const { world } = stage;
  const losses = findLosses(state, world, stage.sinceMs, nowMs).filter(
    ({ worker }) => !stage.lost.includes(worker),
  );
  if (losses.length > 0) {
    const lost = losses.map(({ worker }) => worker);
    // By a vote the others wait for everybody's part in the step: a loss turns it into an abort.
    const reason = stage.mode === 'vote' ? `${lost.join(', ')} was lost` : stage.reason;
    state.stage = { ...stage, mode: 'abort', reason, lost: [...stage.lost, ...lost] };
    return tellLosses(losses, world);
  }
  const cut = watchVote(state, stage, nowMs);
  if (cut !== undefined) return cut;
  const isAwaited = world.members.some((member) => {
    const view = stage.lost.includes(member.worker) ? undefined : viewOf(state, member);
    return (
      view !== undefined && !hasHalted(view, world.generation) && isPatient(state, view, nowMs)
    );
  });
  return isAwaited ? [] : goOn(state, stage, nowMs);
}

/** A vote travels with a step, and no step is completed where a link is cut: gives up waiting. */
function watchVote(
  state: CoordinatorState,
  { mode, world, sinceMs }: Halting,
  nowMs: number,
): CoordinatorEffect[] | undefined {
  if (mode !== 'vote' || nowMs - sinceMs < state.config.timing.linkTimeoutMs) return undefined;
  return dialAnew(state, world, findCutLinks(state, world, nowMs), nowMs);
}

function hasHalted(view: WorkerView, generation: number): boolean {
  const { status } = view;
  return status.generation > generation || status.stage === 'joining' || isFree(view);
}

/** A worker that can't be heard is waited for a little: it may have opened another session. */
function isPatient(state: CoordinatorState, view: WorkerView, nowMs: number): boolean {
  if (isReachable(state, view, nowMs)) return true;
  return nowMs - view.heardMs <= longestSilenceMs(state, view);
}

function goOn(state: CoordinatorState, stage: Halting, nowMs: number): CoordinatorEffect[] {
  const candidates = findCandidates(state, nowMs);
  const present = [...state.workers.values()].filter((view) => isReachable(state, view, nowMs));
  const step = newestStepOf(present.filter(isFree));
  const ending = endingOf(state, present, step);
  if (ending !== undefined) return startFinishing(state, stage.world, step, ending, nowMs);
  const kept = newestStepOf(candidates);
  const { savedStep = 0 } = state;
  if (kept !== undefined && kept >= savedStep)
    return formWorld(state, candidates, kept, stage.reason, nowMs);
  // What only those have who leave is stored before they go.
  const isToBeStored = kept === undefined && step !== undefined && step > (state.savedStep ?? -1);
  if (isToBeStored) return startFinishing(state, stage.world, step, undefined, nowMs);
  return gather(state, nowMs, stage.reason);
}

/** Why the run is over at `step`, if it is. */
function endingOf(
  state: CoordinatorState,
  present: readonly WorkerView[],
  step: Step | undefined,
): Ending | undefined {
  if (state.ending !== undefined) return state.ending;
  const troubled = present.find(({ status }) => status.trouble !== '');
  if (troubled !== undefined)
    return { exitCode: exitCodes.failed, reason: troubled.status.trouble };
  if (step === undefined) return undefined;
  const { until, lastStep } = state.config;
  if (step >= lastStep) return { exitCode: exitCodes.ok, reason: `finished at step ${step}` };
  if (step < until && state.stopReason === undefined) return undefined;
  const reason = `stopped at step ${step}, which is checkpointed`;
  return { exitCode: exitCodes.stopped, reason };
}
