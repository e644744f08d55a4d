// The compute thread's view of the exchange: asks the network thread for a reduction and waits.

import type { Step } from '../../shared/words.js';
import type { ToNetwork } from '../network/ports.js';

/** The step in progress was given up: no failure of this worker. */
export class Aborted extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'Aborted';
  }
}

export interface Reductions {
  /** Resolves when the vector of `step` is reduced; rejects with `Aborted`. */
  reduce(step: Step, floats: number): Promise<void>;
  /** The network thread says that the vector of `step` is reduced. */
  reduced(step: Step): void;
  /** Gives up the reduction in progress and all later ones. */
  abort(reason: string): void;
}

/** Creates the reductions of one worker; one is pending at a time. */
export function createReductions(send: (message: ToNetwork) => void): Reductions {
  let pending: { step: Step; resolve: () => void; reject: (error: Error) => void } | undefined;
  let aborted: Aborted | undefined;
  return {
    reduce: (step, floats) =>
      new Promise((resolve, reject) => {
        if (aborted !== undefined) return reject(aborted);
        pending = { step, resolve, reject };
        send({ kind: 'reduce', step, floats });
      }),
    reduced: (step) => {
      if (pending?.step !== step) return;
      const { resolve } = pending;
      pending = undefined;
      resolve();
    },
    abort: (reason) => {
      aborted = new Aborted(reason);
      pending?.reject(aborted);
      pending = undefined;
    },
  };
}
