// Nobody is taken out of a training world who was well and whom all of its peers could reach: a
// death needs two witnesses, and the coordinator is only one.

import { Violation, type Oracle } from '../facts.js';

const name = 'witnesses';

/** What is known of the simulated cluster as it really is. */
export interface Truth {
  /** Whether nothing was the matter with the worker, or between it and its peers, of late. */
  isWell(worker: string): boolean;
  /** Whether every process of this world is training in it. */
  trains(generation: number): boolean;
}

export function createWitnessOracle(truth: Truth): Oracle {
  return {
    name,
    observe(fact) {
      if (fact.kind !== 'lost' || !truth.trains(fact.generation)) return;
      if (!truth.isWell(fact.worker)) return;
      throw new Violation(name, `${fact.worker} was well and is taken out: ${fact.why}`);
    },
  };
}
