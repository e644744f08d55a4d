// What coordinators and workers may do to each other: which orders are obeyed, who may be taken
// out, how long a run may stand still, and how much may be kept, held and sent.

import type { FormedWorld, WorkerView } from '../../../coordinator/core/state.js';
import { termOf } from '../../../shared/words.js';
import { Violation, type Oracle, type Who } from '../facts.js';
import type { RunShape } from '../training-state.js';

/** Effects by which an order is carried out. */
const obeying: ReadonlySet<string> = new Set([
  ...['prepare', 'enter', 'join', 'train', 'voteStop', 'abort', 'finish'],
]);

/** The store may be away for 10 s, and a coordinator stand still for so long as well. */
const longestTwinsMs = 30_000;

export function createFencingOracle(): Oracle {
  const worlds = new Map<number, string>();
  /** Highest term and generation that a process has obeyed. */
  const terms = new Map<string, number>();
  const generations = new Map<string, number>();
  let isTermLost = false;
  let twinsSinceMs = Infinity;
  const keyOf = ({ worker, incarnation }: Who): string => `${worker}.${incarnation}`;
  const note = (generation: number, members: string): void => {
    const known = worlds.get(generation) ?? members;
    const areOthers = processesOf(members).every((one) => !processesOf(known).includes(one));
    // Nobody can know that a number was given whose file is gone, if all who heard of it are dead.
    if (known !== members && !(isTermLost && areOthers))
      throw new Violation('fencing', `two worlds ${generation}: ${known} and ${members}`);
    worlds.set(generation, members);
  };
  const describe = (members: readonly (Who & { readonly rank: number })[], step: number): string =>
    `${members.map((m) => `${m.rank}=${keyOf(m)}`).join(' ')} from ${step}`;
  const processesOf = (members: string): string[] => members.match(/[^ =]+\.\d+/g) ?? [];
  const forbid = (who: Who, generation: number, what: string): void => {
    const key = keyOf(who);
    const newest = generations.get(key) ?? 0;
    if (generation < newest)
      throw new Violation('fencing', `${key} ${what} in world ${generation} after ${newest}`);
    generations.set(key, generation);
  };
  return {
    observe(fact, nowMs) {
      if (fact.kind === 'fault' && fact.name === 'deleteTerm') isTermLost = true;
      if (fact.kind === 'sizes') {
        const leading = fact.coordinators.filter(({ stage }) => stage.kind !== 'ended');
        const areTwins = new Set(leading.map(({ config }) => config.term)).size < leading.length;
        twinsSinceMs = areTwins ? Math.min(twinsSinceMs, nowMs) : Infinity;
        if (nowMs - twinsSinceMs > longestTwinsMs)
          throw new Violation('fencing', `two coordinators lead in one term for long`);
      }
      if (fact.kind === 'formed') {
        if (termOf(fact.world.generation) !== fact.term)
          throw new Violation('fencing', `term ${fact.term} formed world ${fact.world.generation}`);
        note(fact.world.generation, describe(fact.world.members, fact.world.step));
      } else if (fact.kind === 'heard') {
        const { who, term, message, effects } = fact;
        const key = keyOf(who);
        if (message.kind === 'world')
          note(message.generation, describe(message.members, message.step));
        const newest = terms.get(key) ?? 0;
        const obeyed = effects.find(({ kind }) => obeying.has(kind));
        if (term < newest && obeyed !== undefined)
          throw new Violation(
            'fencing',
            `${key} obeys term ${term} after ${newest}: ${obeyed.kind}`,
          );
        if (message.kind === 'welcome') terms.set(key, Math.max(newest, term));
      } else if (fact.kind === 'wanted') {
        const { effect, who } = fact;
        if (effect.kind === 'enter') forbid(who, effect.generation, 'enters');
        if (effect.kind === 'train') forbid(who, effect.generation, 'trains');
        if (effect.kind === 'finish') forbid(who, effect.generation, 'finishes');
        if (effect.kind === 'join') forbid(who, effect.world.generation, 'connects');
      } else if (fact.kind === 'committed') forbid(fact.who, fact.generation, 'commits');
    },
  };
}

/** What is known of the simulation as it really is. */
export interface Truth {
  /** Whether nothing was the matter with the worker, or between it and its peers, of late. */
  isWell(worker: string): boolean;
  /** Whether a peer of its world has lost its stream to the worker. */
  isCutOff(worker: string): boolean;
  /** Whether nothing was the matter between the worker and its coordinator of late. */
  isHeard(worker: string): boolean;
  /** Whether every process of this world is training in it. */
  trains(generation: number): boolean;
}

export function createWitnessOracle(truth: Truth): Oracle {
  /** Worlds of which a coordinator has heard that all train: before, no peer is a witness. */
  const known = new Set<number>();
  return {
    observe(fact) {
      if (fact.kind === 'sizes')
        for (const { stage, workers } of fact.coordinators)
          if (stage.kind === 'running' && areTraining(stage.world, workers))
            known.add(stage.world.generation);
      if (fact.kind !== 'lost' || !truth.trains(fact.generation)) return;
      // Of a world that has not trained yet silence alone is enough; but there was none.
      if (!known.has(fact.generation) && !truth.isHeard(fact.worker)) return;
      if (!truth.isWell(fact.worker)) return;
      // Both witnesses are right: a stream that was cut long ago stays so until the next world.
      if (truth.isCutOff(fact.worker) && !truth.isHeard(fact.worker)) return;
      throw new Violation('witnesses', `${fact.worker} was well and is taken out: ${fact.why}`);
    },
  };
}

function areTraining(
  { members, generation }: FormedWorld,
  views: ReadonlyMap<string, WorkerView>,
): boolean {
  const haveReported = members.every(({ worker }) => {
    const status = views.get(worker)?.status;
    return status?.generation === generation && status.stage === 'training';
  });
  return members.length > 1 && haveReported;
}

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
      throw new Violation('pauses', `no step for ${Math.round(pauseMs)} ms after ${watch.fault}`);
    if (nowMs - watch.sinceMs > watchedMs) watch = undefined;
  };
  return {
    observe(fact, nowMs) {
      if (fact.kind === 'committed') {
        judge(nowMs);
        const { generation, worldSize } = fact;
        const isNew = watch !== undefined && generation !== watch.generation;
        if (isNew && isAboutCoordinator(watch!.fault))
          throw new Violation('pauses', `another world, ${generation}, because of ${watch!.fault}`);
        committed = { ms: nowMs, step: fact.state.step, generation, worldSize };
      } else if (fact.kind === 'sizes') judge(nowMs);
      else if (fact.kind === 'fault') onFault(fact.name, nowMs);
      else if (fact.kind === 'healed') [lastFaultMs, watch] = [nowMs, undefined];
      else if (fact.kind === 'lost' && watch !== undefined && isAboutCoordinator(watch.fault))
        throw new Violation('pauses', `${fact.worker} was lost because of ${watch.fault}`);
    },
  };
}

/** The limits, for simulations of at most ten workers. */
export const bounds = {
  pendingCheckpoints: 8,
  comparedDigests: 16,
  knownWorkers: 40,
  cutLinks: 45,
  heldStreams: 64,
  streams: 1_200,
  /** Messages of the coordinator in one session and second. */
  ordersPerSecond: 40,
  /** Messages of a worker in a second, repeated reports included. */
  reportsPerSecond: 800,
} as const;

export function createBoundsOracle({ lastStep }: RunShape): Oracle {
  let second = 0;
  const sent = new Map<string, number>();
  const limit = (what: string, count: number, most: number): void => {
    if (count > most) throw new Violation('bounds', `${count} ${what}, at most ${most}`);
  };
  return {
    observe(fact, nowMs) {
      if (fact.kind === 'sent') {
        if (Math.floor(nowMs / 1000) !== second) sent.clear();
        second = Math.floor(nowMs / 1000);
        const key = `${fact.from} ${fact.session}`;
        const count = (sent.get(key) ?? 0) + 1;
        sent.set(key, count);
        const most = fact.session > 0 ? bounds.ordersPerSecond : bounds.reportsPerSecond;
        limit(`messages of ${key} in a second`, count, most);
      } else if (fact.kind === 'sizes') {
        for (const { who, state } of fact.workers) {
          // One for each step, and for each checkpoint its four parts and its description.
          limit(`reports of ${who.worker}`, state.reports.length, 6 * lastStep);
          limit(`suspicions of ${who.worker}`, state.suspicions.size, state.world.members.length);
        }
        for (const state of fact.coordinators) {
          limit('pending checkpoints', state.pending.size, bounds.pendingCheckpoints);
          limit('compared digests', state.digests.size, bounds.comparedDigests);
          limit('known workers', state.workers.size, bounds.knownWorkers);
          limit('cut links', state.cutLinks.size, bounds.cutLinks);
        }
        for (const held of fact.held) limit('held streams', held, bounds.heldStreams);
        limit('streams', fact.streams, bounds.streams);
      }
    },
  };
}
