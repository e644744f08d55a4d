// How long a run may stand still. A single death costs the survivors at most five seconds; a
// coordinator that is away costs nothing, kills nobody, and the world stays the same. Judged only
// where one fault stands alone: two at a time may cost more.

import { Violation, type Oracle } from '../facts.js';

const name = 'pauses';

/** Longest time between two committed steps after a single fault, by its kind. */
export const longestPausesMs: Readonly<Record<string, number>> = {
  killWorker: 5_000,
  loseMachine: 5_000,
  killCoordinator: 2_500,
  loseCoordinatorMachine: 2_500,
  freezeCoordinator: 2_500,
};

/** A fault stands alone when there was no other for so long before. */
const aloneMs = 14_000;
/** Its consequences are awaited for so long. */
const watchedMs = 12_000;

interface Watch {
  readonly fault: string;
  readonly sinceMs: number;
  readonly generation: number;
}

export function createProgressOracle(lastStep: number): Oracle {
  let watch: Watch | undefined;
  let lastFaultMs = -Infinity;
  let committed = { ms: 0, step: 0, generation: 0, worldSize: 1 };
  const isAboutCoordinator = (fault: string): boolean => fault.includes('oordinator');
  const onFault = (fault: string, nowMs: number): void => {
    const isAlone = nowMs - lastFaultMs > aloneMs;
    lastFaultMs = nowMs;
    watch = undefined;
    const isTraining = nowMs - committed.ms < 1_000 && committed.step > 0;
    const hasSurvivors = isAboutCoordinator(fault) || committed.worldSize > 1;
    if (!isAlone || !isTraining || !hasSurvivors || longestPausesMs[fault] === undefined) return;
    watch = { fault, sinceMs: nowMs, generation: committed.generation };
  };
  const judge = (nowMs: number): void => {
    if (watch === undefined || committed.step >= lastStep) return;
    const pauseMs = nowMs - Math.max(watch.sinceMs, committed.ms);
    if (pauseMs > longestPausesMs[watch.fault])
      throw new Violation(name, `no step for ${Math.round(pauseMs)} ms after ${watch.fault}`);
    if (nowMs - watch.sinceMs > watchedMs) watch = undefined;
  };
  return {
    name,
    observe(fact, nowMs) {
      if (fact.kind === 'committed') {
        judge(nowMs);
        const { generation, worldSize } = fact;
        const isNew = watch !== undefined && generation !== watch.generation;
        if (isNew && isAboutCoordinator(watch!.fault))
          throw new Violation(name, `another world, ${generation}, because of ${watch!.fault}`);
        committed = { ms: nowMs, step: fact.state.step, generation, worldSize };
      } else if (fact.kind === 'sizes') judge(nowMs);
      else if (fact.kind === 'fault') onFault(fact.name, nowMs);
      else if (fact.kind === 'healed') [lastFaultMs, watch] = [nowMs, undefined];
      else if (fact.kind === 'lost' && watch !== undefined && isAboutCoordinator(watch.fault))
        throw new Violation(name, `${fact.worker} was lost because of ${watch.fault}`);
    },
  };
}
