// Known bugs, planted one at a time at the simulation's boundary. An oracle that lets one pass is
// no oracle; each names those that may be the first to see it.

import type { CoordinatorEvent } from '../../coordinator/core/state.js';
import type { Hello } from '../../shared/control/messages.js';
import { leavesOf, shareOf } from '../../shared/plan/reduction.js';
import { samplesOf } from '../../shared/plan/samples.js';
import { isStranger } from './machines/stranger.js';
import type { Sabotage } from './sabotage.js';
import type { Scripted, SimOptions } from './simulation.js';

export interface Canary {
  readonly bug: string;
  /** Oracles of which one must catch it. */
  readonly caughtBy: readonly string[];
  /** A fresh bug for a seed: some remember things. */
  plant(): Partial<Sabotage>;
  /** What makes it show sooner than the seeds' own faults. */
  readonly options?: SimOptions;
}

/** Statuses in which every healthy worker accuses whoever has no session. */
function accuseUnreachable(): Sabotage['coordinatorEvent'] {
  const gone = new Set<string>();
  return (event): CoordinatorEvent[] => {
    if (event.kind === 'closed') gone.add(event.worker);
    if (event.kind !== 'message') return [event];
    if (event.message.kind === 'hello') gone.delete(event.worker);
    if (event.message.kind !== 'status') return [event];
    const suspicions = [...gone].map((worker) => ({ worker, reason: 'planted' }));
    return [{ ...event, message: { ...event.message, suspicions } }];
  };
}

/** Hellos that prove a later term, as if the store had confirmed it. */
function believeTerm(isBelieved: (hello: Hello) => boolean): Sabotage['coordinatorEvent'] {
  return (event): CoordinatorEvent[] => {
    if (event.kind !== 'message' || event.message.kind !== 'hello') return [event];
    const { term } = event.message;
    return isBelieved(event.message) ? [event, { kind: 'newestTerm', term, askedMs: 0 }] : [event];
  };
}

/** Hellos that have the process of the first one with the same id. */
function takeForTheSame(): Sabotage['coordinatorEvent'] {
  const first = new Map<string, Pick<Hello, 'incarnation' | 'pid' | 'host'>>();
  return (event): CoordinatorEvent[] => {
    if (event.kind !== 'message' || event.message.kind !== 'hello') return [event];
    const { worker, incarnation, pid, host } = event.message;
    const known = first.get(worker) ?? { incarnation, pid, host };
    first.set(worker, known);
    return [{ ...event, message: { ...event.message, ...known } }];
  };
}

/** Messages of strangers that count as those of the worker that has rank 0. */
function speakForMember(...kinds: readonly string[]): Sabotage['coordinatorEvent'] {
  let session: number | undefined;
  return (event): CoordinatorEvent[] => {
    if (event.kind !== 'message') return [event];
    const { worker, message } = event;
    if (worker === 'worker-0' && message.kind === 'hello') session = event.session;
    if (session === undefined || !isStranger(worker) || !kinds.includes(message.kind))
      return [event];
    return [{ ...event, worker: 'worker-0', session }];
  };
}

/** All is well, but for the link between one worker and the coordinator. */
export const unheardWorker: SimOptions = {
  workers: 3,
  shape: { lastStep: 300, microShards: 6 },
  script: [
    {
      atMs: 12_000,
      act: ({ around }) => around.network.cutBothWays('worker-0', 'coordinator-a', 9_000),
    },
  ],
};

/** A coordinator is followed by another one, which dies; then the world has to change. */
const followedBack: SimOptions = {
  workers: 3,
  shape: { lastStep: 300, microShards: 6 },
  script: [
    { atMs: 3_000, fault: 'secondCoordinator' },
    { atMs: 5_000, fault: 'killCoordinator' },
    { atMs: 5_200, fault: 'drainWorker' },
    { atMs: 9_000, fault: 'secondCoordinator' },
    { atMs: 11_000, fault: 'killCoordinator' },
    { atMs: 11_200, fault: 'addWorker' },
  ],
};

/** The file of the term is deleted under its leader, and another coordinator takes the number. */
export const twoOfOneTerm: SimOptions & { readonly script: readonly Scripted[] } = {
  workers: 3,
  leafMs: 60,
  shape: { lastStep: 800, microShards: 6 },
  script: [
    { atMs: 4_000, fault: 'deleteTerm' },
    { atMs: 4_001, act: ({ supervisor }) => supervisor.startCoordinator('coordinator-b') },
  ],
};

export const canaries: readonly Canary[] = [
  {
    bug: 'a world starts one step too low',
    caughtBy: ['lineage', 'progress', 'pauses', 'reference'],
    plant: () => ({
      workerEvent: (_worker, event) =>
        event.kind === 'message' && event.message.kind === 'world' && event.message.step > 0
          ? [{ ...event, message: { ...event.message, step: event.message.step - 1 } }]
          : [event],
    }),
  },
  {
    bug: 'a donor hands out the state before the one that is asked for',
    caughtBy: ['reference', 'samples', 'lineage'],
    plant: () => ({ donatesOldState: true }),
  },
  {
    bug: 'the leaves of the old rank are computed in the new world',
    caughtBy: ['samples', 'reference'],
    plant: () => ({
      leaves: ({ rank, worldSize, before }, microShards) => {
        const place = before ?? { rank, worldSize };
        return leavesOf(shareOf(place.rank, place.worldSize, microShards));
      },
    }),
  },
  {
    bug: 'one worker ignores the vote',
    caughtBy: ['progress', 'pauses'],
    plant: () => ({ heedsVote: (worker) => worker !== 'worker-0' }),
  },
  {
    bug: 'death on one witness',
    caughtBy: ['witnesses'],
    plant: () => ({ coordinatorEvent: accuseUnreachable() }),
    options: unheardWorker,
  },
  {
    bug: 'a manifest is written although a part is missing',
    caughtBy: ['checkpoints'],
    plant: () => ({
      coordinatorEvent: (event) =>
        event.kind === 'message' && event.message.kind === 'snapshot'
          ? [{ ...event, message: { ...event.message, parts: event.message.parts.slice(1) } }]
          : [event],
    }),
  },
  {
    bug: 'a manifest is written from a state that has diverged',
    caughtBy: ['checkpoints'],
    plant: () => ({ spoilsSnapshot: (worker, step) => worker === 'worker-0' && step > 6 }),
  },
  {
    bug: 'a reduction of an old world is taken for that of the new one',
    caughtBy: ['reference', 'lineage', 'samples'],
    plant: () => ({ keepsOldReduction: true }),
  },
  {
    bug: 'sums and factors leave before they are computed',
    caughtBy: ['reference'],
    plant: () => ({ announcesEarly: true }),
  },
  {
    bug: 'a coordinator does not notice its successor, and workers follow it back',
    caughtBy: ['fencing', 'progress', 'pauses', 'witnesses'],
    plant: () => ({
      looksForSuccessor: false,
      coordinatorEvent: (event) => {
        if (event.kind === 'newestTerm') return [];
        if (event.kind !== 'message' || event.message.kind !== 'hello') return [event];
        return [{ ...event, message: { ...event.message, term: 0 } }];
      },
      workerEvent: (_worker, event) =>
        event.kind === 'message' && event.message.kind === 'welcome'
          ? [{ ...event, message: { ...event.message, term: 1e6 } }]
          : [event],
    }),
    options: followedBack,
  },
  {
    bug: 'a leader does not look whether its term is still its own',
    caughtBy: ['fencing'],
    plant: () => ({ holdsTerm: false }),
    options: twoOfOneTerm,
  },
  {
    bug: 'two worlds of one generation',
    caughtBy: ['fencing'],
    plant: () => ({
      coordinatorEffect: (effect) =>
        effect.kind === 'send' && effect.message.kind === 'world' && effect.worker === 'worker-0'
          ? [
              {
                ...effect,
                message: { ...effect.message, members: effect.message.members.slice(0, 1) },
              },
            ]
          : [effect],
    }),
  },
  {
    bug: 'an order is never repeated',
    caughtBy: ['progress', 'pauses'],
    plant: () => {
      const given = new Set<string>();
      return {
        coordinatorEffect: (effect) => {
          if (effect.kind !== 'send' || !('generation' in effect.message)) return [effect];
          const { kind, generation } = effect.message;
          const key = `${effect.worker} ${kind} ${generation}`;
          const isFirst = !given.has(key);
          given.add(key);
          return isFirst ? [effect] : [];
        },
      };
    },
    options: {
      script: [1, 3, 5, 7, 9].flatMap((s) => [
        { atMs: 1_000 * s - 700, fault: 'loseMessages' } as const,
        { atMs: 1_000 * s, fault: 'killWorker' } as const,
      ]),
    },
  },
  {
    bug: 'samples are shifted by one after a regroup',
    caughtBy: ['reference', 'samples'],
    plant: () => ({
      samples: (order, step, leaf, { before }) =>
        before === undefined
          ? samplesOf(order, step, leaf)
          : samplesOf(order, step, leaf).map((pick) => ({
              ...pick,
              sample: (pick.sample + 1) % order.samples,
            })),
    }),
  },
  {
    bug: 'the first step after taking a state is applied twice',
    caughtBy: ['lineage', 'reference'],
    plant: () => ({
      applications: ({ before }, isFirstOfWorld) =>
        isFirstOfWorld && before !== undefined ? 2 : 1,
    }),
  },
  {
    bug: 'the sums of a checkpoint are not looked at',
    caughtBy: ['reference', 'crash', 'checkpoints'],
    plant: () => ({ verifiesSums: false }),
    options: {
      script: [
        ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => ({ atMs: 4_000 + i, fault: 'flipBit' }) as const),
        { atMs: 4_010, fault: 'killAllWorkers' },
      ],
    },
  },
  {
    bug: 'a coordinator that takes over deletes what is being stored',
    caughtBy: ['checkpoints', 'progress'],
    plant: () => ({ discardsAtStart: true }),
    options: {
      shape: { checkpointEvery: 2, lastStep: 80 },
      script: [2, 7, 12, 17, 22].map(
        (s) => ({ atMs: 1000 * s, fault: 'killCoordinator' }) as const,
      ),
    },
  },
  {
    bug: 'a worker is believed that there is a later term',
    caughtBy: ['strangers'],
    plant: () => ({ coordinatorEvent: believeTerm(() => true) }),
    options: { script: [{ atMs: 3_000, fault: 'falseTerm' }] },
  },
  {
    bug: 'a worker of another run makes a coordinator step down',
    caughtBy: ['strangers'],
    plant: () => ({ coordinatorEvent: believeTerm(({ run }) => run === 'other') }),
    options: { script: [{ atMs: 3_000, fault: 'workerOfOtherRun' }] },
  },
  {
    bug: 'a second process takes the place of a worker that lives',
    caughtBy: ['strangers'],
    plant: () => ({ coordinatorEvent: takeForTheSame() }),
    options: {
      workers: 3,
      shape: { lastStep: 300, microShards: 6 },
      script: [{ atMs: 12_000, fault: 'secondProcess' }],
    },
  },
  {
    bug: 'whatever a process reports is believed',
    caughtBy: ['strangers'],
    plant: () => ({ coordinatorEvent: speakForMember('stepReport') }),
    options: { script: [{ atMs: 3_000, fault: 'forgedReports' }] },
  },
  {
    bug: 'the parts of a checkpoint are taken from whoever has them',
    caughtBy: ['checkpoints', 'progress', 'crash'],
    plant: () => ({ coordinatorEvent: speakForMember('partStored', 'snapshot') }),
    options: { script: [{ atMs: 3_000, fault: 'forgedReports' }] },
  },
  {
    bug: 'the failure of a newcomer ends the run',
    caughtBy: ['progress'],
    plant: () => ({ coordinatorEvent: speakForMember('failure') }),
    options: { script: [{ atMs: 3_000, fault: 'newcomerWithoutData' }] },
  },
];
