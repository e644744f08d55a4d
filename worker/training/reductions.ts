// The compute thread's view of a world's exchange: asks the network thread for a reduction and
// waits. Each world has its own, so that a late answer can't be taken for one of a later world.

import type { Step } from '../../shared/words.js';
import type { ToNetwork } from '../network/ports.js';

export interface Reductions {
  /** Resolves when the vector of `step` is reduced; never, when its world is given up. */
  reduce(step: Step, floats: number): Promise<void>;
  /** The network thread says that the vector of `step` is reduced. */
  reduced(step: Step): void;
}

/** Creates the reductions of one world; one is pending at a time. */
export function createReductions(send: (message: ToNetwork) => void): Reductions {
  let pending: { step: Step; resolve: () => void } | undefined;
  return {
    reduce: (step, floats) =>
      new Promise((resolve) => {
        pending = { step, resolve };
        send({ kind: 'reduce', step, floats });
      }),
    reduced: (step) => {
      if (pending?.step !== step) return;
      const { resolve } = pending;
      pending = undefined;
      resolve();
    },
  };
}
