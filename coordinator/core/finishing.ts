// The last state is stored: by all that have it, a share each. If one of them is lost, the others
// store it anew; if all are, the run goes on from its newest checkpoint once workers are there.

import { exitCodes } from '../../shared/exit-codes.js';
import type { Step } from '../../shared/words.js';
import { byName } from './forming.js';
import { isReachable } from './liveness.js';
import { end, gather, isFree } from './stages.js';
import type { CoordinatorEffect, CoordinatorState, Ending, FormedWorld, Stage } from './state.js';

type Finishing = Stage & { readonly kind: 'finishing' };

/** Starts to store the state at `step`; without a state there is nothing to store. */
export function startFinishing(
  state: CoordinatorState,
  world: FormedWorld,
  step: Step | undefined,
  ending: Ending | undefined,
  nowMs: number,
): CoordinatorEffect[] {
  if (step === undefined && ending !== undefined) return end(state, ending);
  if (step === undefined) return gather(state, nowMs, 'nobody has a state');
  const savers = findSavers(state, step, nowMs);
  state.stage = { kind: 'finishing', world, step, savers, ending };
  return [];
}

function findSavers(state: CoordinatorState, step: Step, nowMs: number): string[] {
  return [...state.workers.values()]
    .filter(({ status, isDiverged }) => status.hasState && status.step === step && !isDiverged)
    .filter((view) => isFree(view) || view.status.stage === 'finishing')
    .filter((view) => isReachable(state, view, nowMs))
    .map(({ worker }) => worker)
    .sort(byName);
}

/** Ends the run when the state is stored and judged; replaces savers that are lost. */
export function awaitFinish(
  state: CoordinatorState,
  stage: Finishing,
  nowMs: number,
): CoordinatorEffect[] {
  const { step, ending } = stage;
  const savers = findSavers(state, step, nowMs);
  // A worker that was left out for a while may have a state from before the newest checkpoint.
  const isStored = (state.savedStep ?? -1) >= step;
  if (savers.length === 0) {
    if (!isStored) return loseLast(state, stage, nowMs);
  } else if (savers.join() !== stage.savers.join()) {
    state.stage = { ...stage, savers };
    return [];
  }
  const isDone = savers.every((worker) => {
    return state.workers.get(worker)?.status.stage === 'finished';
  });
  if (!isStored || !isDone) return [];
  return ending === undefined ? gather(state, nowMs, 'all have left') : end(state, ending);
}

/** All that had the last state are gone before it was stored. */
function loseLast(
  state: CoordinatorState,
  { ending }: Finishing,
  nowMs: number,
): CoordinatorEffect[] {
  const isOver = ending !== undefined && ending.exitCode !== exitCodes.ok;
  if (isOver) return end(state, ending);
  return gather(state, nowMs, 'all that had the last state were lost');
}
