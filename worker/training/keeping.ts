// What is kept of a world's steps: shares of checkpoints when they are due, and rank 0's judgement
// of the generator. Nothing is stored or judged twice that the same world has already seen to.

import { isDue } from '../../shared/spec/schema.js';
import type { Rank, Step } from '../../shared/words.js';
import type { Cancellation } from './cancellation.js';
import type { PreparedRun } from './prepare.js';

export interface Keeping {
  /** After a commit: what the schedule asks for. Waits only while the store is behind. */
  keepUp(until: Step, cancellation: Cancellation): Promise<void>;
  /** Whatever the schedule says: resolves when the state is judged, and this share is stored. */
  finish(share: number, shares: number, cancellation: Cancellation): Promise<void>;
}

/** Creates the keeping of one world; `onWait` is called before it waits for the store. */
export function createKeeping(
  run: Pick<PreparedRun, 'spec' | 'own' | 'saver' | 'evaluation'>,
  { rank, worldSize }: { readonly rank: Rank; readonly worldSize: number },
  onWait: () => void,
  onSnapshot: (step: Step, stateDigest: string) => void,
): Keeping {
  const { spec, saver } = run;
  const { state } = run.own;
  const evaluation = rank === 0 ? run.evaluation() : undefined;
  let judged: Step | undefined;
  let saved: string | undefined;

  const judge = (isLast: boolean): void => {
    if (judged === state.step) return;
    judged = state.step;
    evaluation?.evaluate(isLast);
  };
  const save = async (share: number, shares: number, cancellation: Cancellation): Promise<void> => {
    const what = `step ${state.step}, ${share} of ${shares}`;
    if (saved === what) return;
    if (!saver.isIdle) onWait();
    await cancellation.orAborted(saver.idle());
    onSnapshot(state.step, saver.save(share, shares));
    saved = what;
  };
  return {
    keepUp: async (until, cancellation) => {
      if (isDue(spec.evaluation.everySteps, state.step)) judge(state.step >= until);
      if (isDue(spec.checkpoint.everySteps, state.step)) await save(rank, worldSize, cancellation);
    },
    finish: async (share, shares, cancellation) => {
      judge(true);
      await save(share, shares, cancellation);
      await cancellation.orAborted(saver.idle());
      if (evaluation !== undefined) await cancellation.orAborted(evaluation.drain());
    },
  };
}
