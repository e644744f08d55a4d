// This worker's state, and whether there is one: until its first world the memory is there but
// means nothing. It is replaced as a whole or not at all.

import { copyState, createState, type TrainingState } from '../../shared/checkpoint/state.js';
import type { NetworkSpec } from '../../shared/layout.js';

export interface OwnState {
  readonly networks: readonly NetworkSpec[];
  /** Its vectors stay the same objects; steps are committed right into them. */
  readonly state: TrainingState;
  readonly hasState: boolean;
  /** Takes all values of another state of the same networks. */
  replace(from: TrainingState): void;
}

/** Creates the memory of a state of these networks. */
export function createOwnState(networks: readonly NetworkSpec[]): OwnState {
  const state = createState(networks);
  let hasState = false;
  return {
    networks,
    state,
    get hasState() {
      return hasState;
    },
    replace: (from) => {
      copyState(from, state);
      hasState = true;
    },
  };
}

/**
 * Flips one bit of a parameter, as broken memory would (lockstep chaos): of one that is not zero,
 * and a bit that later updates don't round away.
 */
export function flipBit({ networks, state }: OwnState): void {
  const { parameters } = state.networks[networks[0].name];
  const index = Math.max(
    0,
    parameters.findIndex((value) => value !== 0),
  );
  const topOfMantissa = 1 << 22;
  new Uint32Array(parameters.buffer, parameters.byteOffset, parameters.length)[index] ^=
    topOfMantissa;
}
