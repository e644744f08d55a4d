// Nobody is taken out of a training world who was well and whom all of its peers could reach: a
// death needs two witnesses, and the coordinator is only one. Whoever trains alone has no peers: it
// may be replaced.

import type { FormedWorld, WorkerView } from '../../../coordinator/core/state.js';
import { Violation, type Oracle } from '../facts.js';

const name = 'witnesses';

/** What is known of the simulated cluster as it really is. */
export interface Truth {
  /** Whether nothing was the matter with the worker, or between it and its peers, of late. */
  isWell(worker: string): boolean;
  /** Whether nothing was the matter between the worker and its coordinator of late. */
  isHeard(worker: string): boolean;
  /** Whether every process of this world is training in it. */
  trains(generation: number): boolean;
}

export function createWitnessOracle(truth: Truth): Oracle {
  /** Worlds of which a coordinator has heard that all train: before, no peer is a witness. */
  const known = new Set<number>();
  return {
    name,
    observe(fact) {
      if (fact.kind === 'sizes')
        for (const { stage, workers } of fact.coordinators)
          if (stage.kind === 'running' && areTraining(stage.world, workers))
            known.add(stage.world.generation);
      if (fact.kind !== 'lost' || !truth.trains(fact.generation)) return;
      // Of a world that has not trained yet silence alone is enough; but there was none.
      if (!known.has(fact.generation) && !truth.isHeard(fact.worker)) return;
      if (!truth.isWell(fact.worker)) return;
      throw new Violation(name, `${fact.worker} was well and is taken out: ${fact.why}`);
    },
  };
}

function areTraining(
  { members, generation }: FormedWorld,
  views: ReadonlyMap<string, WorkerView>,
): boolean {
  const haveTold = members.every(({ worker }) => {
    const status = views.get(worker)?.status;
    return status?.generation === generation && status.stage === 'training';
  });
  return members.length > 1 && haveTold;
}
