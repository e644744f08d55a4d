// Every worker's state after every committed step is the one that the reference has; steps only
// follow each other, unless a worker takes a state.

import { Violation, type Oracle, type Who } from '../facts.js';
import type { TrainingState } from '../training-state.js';
import type { Reference } from './reference.js';

const name = 'reference';

export function createStateOracle(reference: Reference): Oracle {
  /** Steps committed, by process. */
  const steps = new Map<string, number>();
  const compare = (who: Who, what: string, state: TrainingState): void => {
    const right = reference(state.step);
    const same =
      right.digest === state.digest && right.values.every((value, i) => value === state.values[i]);
    if (same) return;
    const text = `${who.worker}.${who.incarnation} ${what} a wrong state of step ${state.step}`;
    throw new Violation(name, text);
  };
  return {
    name,
    observe(fact) {
      if (fact.kind !== 'committed' && fact.kind !== 'adopted') return;
      const { who, state } = fact;
      const key = `${who.worker}.${who.incarnation}`;
      const before = steps.get(key);
      if (fact.kind === 'committed' && state.step !== (before ?? NaN) + 1)
        throw new Violation('lineage', `${key} committed step ${state.step} after ${before}`);
      if (fact.kind === 'adopted' && state.step !== fact.step)
        throw new Violation('lineage', `${key} took step ${state.step} for ${fact.step}`);
      if (fact.kind === 'adopted' && fact.source === 'own' && state.step !== before)
        throw new Violation('lineage', `${key} has step ${state.step} of its own, not ${before}`);
      steps.set(key, state.step);
      compare(who, fact.kind === 'committed' ? 'committed' : `took from ${fact.source}`, state);
    },
  };
}
