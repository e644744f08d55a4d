// What processes that should not be there may not do: end a coordinator's time by a lie, be taken
// for the run's own in what is reported, or take the place of a worker that lives.

import { exitCodes } from '../../../shared/exit-codes.js';
import { Violation, type Oracle } from '../facts.js';

/** What is known of the simulation as it really is. */
export interface StrangersTruth {
  /** Number of the newest term that a coordinator has taken. */
  newestTerm(): number;
}

/** Forbids that strangers are believed, or let in the place of others. */
export function createStrangersOracle({ newestTerm }: StrangersTruth): Oracle {
  let furthest = 0;
  return {
    observe(fact) {
      if (fact.kind === 'committed') furthest = Math.max(furthest, fact.state.step);
      else if (fact.kind === 'reported' && fact.step > furthest)
        throw new Violation('strangers', `step ${fact.step} is reported, of at most ${furthest}`);
      else if (fact.kind === 'displaced')
        throw new Violation('strangers', `${fact.worker} was well, and another has its place`);
      else if (fact.kind === 'ended' && fact.code === exitCodes.superseded) {
        const claimed = Number(/^a coordinator of term (\d+) leads/.exec(fact.why)?.[1] ?? 0);
        if (claimed > newestTerm())
          throw new Violation('strangers', `term ${fact.term} gave way to ${claimed}: ${fact.why}`);
      }
    },
  };
}
