// Stories with one fault each, at production timing, and those that seeds have found bugs with.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { worldOf, type FormedWorld } from '../../coordinator/core/state.js';
import { twoOfOneTerm, unheardWorker } from './canaries.js';
import { termKey } from './coordinator-node.js';
import { inflict, type FaultPorts } from './faults.js';
import { strangerKinds } from './machines/stranger.js';
import {
  describeFailure,
  runSeed,
  type Scripted,
  type SimOptions,
  type SimResult,
} from './simulation.js';
import { coordinatorNodes, type Supervisor } from './supervisor.js';

/** Seeds for each story: delays, sizes and paces differ. */
const variants = [1, 2, 3, 4, 5, 6];

const quiet = { workers: 3, shape: { microShards: 6, lastStep: 200 } };
const at = (atMs: number, act: (ports: FaultPorts) => void): Scripted => ({ atMs, act });

function holds(options: SimOptions): SimResult[] {
  return variants.map((seed) => {
    const result = runSeed(seed, options);
    assert.equal(result.failure, undefined, describeFailure(result));
    return result;
  });
}

/** Holds, and no worker is ever taken out of its world. */
function losesNobody(options: SimOptions): void {
  for (const { coverage, seed } of holds(options))
    assert.equal(coverage.of('coordinator loses a worker'), 0, `seed ${seed}`);
}

/** Cuts one link in both directions. */
const cut = (atMs: number, a: string, b: string, forMs: number): Scripted =>
  at(atMs, ({ around }) => around.network.cutBothWays(a, b, forMs));

test('a worker is killed: the others take their next step within five seconds', () => {
  holds({ ...quiet, script: [{ atMs: 4_000, fault: 'killWorker' }] });
});

test('a machine is gone without a word: the next step comes within five seconds as well', () => {
  holds({ ...quiet, script: [{ atMs: 4_000, fault: 'loseMachine' }] });
});

test('a coordinator is killed: the world stays, and no step waits for its successor', () => {
  holds({ ...quiet, script: [{ atMs: 4_000, fault: 'killCoordinator' }] });
  holds({ ...quiet, script: [{ atMs: 4_000, fault: 'loseCoordinatorMachine' }] });
});

test('a coordinator stands still and goes on: it has not heard silence', () => {
  holds({ ...quiet, script: [{ atMs: 4_000, fault: 'freezeCoordinator' }] });
});

test('only the coordinator cannot reach a worker: nobody is taken out', () => {
  holds(unheardWorker);
});

test('everybody dies: the run goes on from its newest whole checkpoint', () => {
  holds({ ...quiet, script: [{ atMs: 4_000, fault: 'killAllWorkers' }] });
  const flips = [0, 1, 2, 3].map((i) => ({ atMs: 3_990 + i, fault: 'flipBit' }) as const);
  holds({ ...quiet, script: [...flips, { atMs: 4_000, fault: 'killAllWorkers' }] });
});

test('two coordinators: the earlier one is not obeyed any more', () => {
  holds({ ...quiet, script: [{ atMs: 4_000, fault: 'secondCoordinator' }] });
});

test('the file of the term is deleted: the leader writes it again', () => {
  const holders: (string | undefined)[] = [];
  losesNobody({
    ...quiet,
    script: [
      { atMs: 4_000, fault: 'deleteTerm' },
      at(10_000, ({ around }) => holders.push(around.disk.peek(termKey(1)))),
    ],
  });
  assert.deepEqual(holders, Array(variants.length).fill('coordinator-a#1'));
});

test('the file of the term is deleted, and another coordinator takes the number: one leads', () => {
  const leaders: number[] = [];
  losesNobody({
    ...twoOfOneTerm,
    script: [
      ...twoOfOneTerm.script,
      at(14_000, ({ supervisor }) => leaders.push(supervisor.coordinators.length)),
    ],
  });
  assert.deepEqual(leaders, Array(variants.length).fill(1));
});

test('the file of the term names somebody else: the leader steps down, another one follows', () => {
  losesNobody({ ...quiet, script: [{ atMs: 4_000, fault: 'overwriteTerm' }] });
});

test('a coordinator dies with the file of its term: the next leads beyond its worlds', () => {
  holds({
    ...quiet,
    script: [
      { atMs: 4_000, fault: 'killWorker' },
      { atMs: 9_000, fault: 'deleteTerm' },
      { atMs: 9_001, fault: 'killCoordinator' },
    ],
  });
});

test('a newcomer is ready while the streams between two members are cut', () => {
  holds({
    ...quiet,
    script: [
      at(3_000, (ports) => {
        ports.around.network.reset('worker-0', 'worker-2');
        ports.supervisor.startWorker('worker-3');
      }),
    ],
  });
});

test('the only worker with a state was left out, and is behind the newest checkpoint', () => {
  holds({
    ...quiet,
    script: [
      cut(3_000, 'worker-0', 'worker-2', 2_000),
      cut(8_000, 'worker-0', 'worker-2', 4_000),
      at(18_000, ({ supervisor }) => {
        for (const node of [...supervisor.workers.values()])
          if (node.who.worker !== 'worker-2') supervisor.killWorker(node, false, 1_500);
      }),
    ],
  });
});

/** Whether all members of the first world know of it. */
function isEntered({ supervisor }: FaultPorts): boolean {
  const workers = [...supervisor.workers.values()];
  return workers.length > 0 && workers.every(({ state }) => state.world.generation > 0);
}

test('a coordinator takes over a world that one of two members has not survived', () => {
  holds({
    ...quiet,
    workers: 2,
    script: [
      {
        atMs: 1,
        when: isEntered,
        act: ({ supervisor, around }) => {
          for (const node of [...supervisor.coordinators]) supervisor.killCoordinator(node);
          const node = supervisor.workers.get('worker-1');
          if (node !== undefined) supervisor.killWorker(node, true, undefined);
          supervisor.discharge('worker-1');
          around.network.clock.after(1_000, () => supervisor.startCoordinator('coordinator-b'));
        },
      },
    ],
  });
});

for (const fault of [...strangerKinds, 'secondProcess'] as const)
  test(`${fault}: nobody is taken out, and the run goes on`, () => {
    losesNobody({ ...quiet, script: [{ atMs: 9_000, fault }] });
  });

test('a coordinator takes over while streams are cut: who finds it late is not lost', () => {
  losesNobody({
    ...quiet,
    workers: 2,
    script: [
      at(4_000, (ports) => {
        const { around, supervisor } = ports;
        for (const node of [...supervisor.coordinators]) supervisor.killCoordinator(node);
        around.network.reset('worker-0', 'worker-1');
        for (const node of coordinatorNodes) around.network.cutBothWays('worker-0', node, 4_000);
        around.network.clock.after(1_000, () => supervisor.startCoordinator('coordinator-b'));
      }),
    ],
  });
});

test('a coordinator takes over a world that has halted: who finds it late is in the next', () => {
  const sizes: (number | undefined)[] = [];
  const secondWorld = ({ coordinators }: Supervisor): FormedWorld | undefined => {
    const state = coordinators.at(-1)?.state;
    return state !== undefined && state.config.term > 1 && state.formed > 0
      ? worldOf(state)
      : undefined;
  };
  holds({
    ...quiet,
    workers: 2,
    shape: { microShards: 6, lastStep: 60 },
    script: [
      at(2_000, (ports) => inflict(ports, 'stopRun')),
      {
        atMs: 2_001,
        when: ({ supervisor }) =>
          [...supervisor.workers.values()].every(({ state }) => state.stage === 'halted'),
        act: ({ supervisor, around }) => {
          for (const node of [...supervisor.coordinators]) supervisor.killCoordinator(node);
          for (const node of coordinatorNodes) around.network.cutBothWays('worker-0', node, 3_500);
          around.network.clock.after(1_000, () => supervisor.startCoordinator('coordinator-b'));
        },
      },
      {
        atMs: 2_002,
        when: ({ supervisor }) => secondWorld(supervisor) !== undefined,
        act: ({ supervisor }) => sizes.push(secondWorld(supervisor)?.members.length),
      },
    ],
  });
  assert.deepEqual(
    sizes,
    variants.map(() => 2),
  );
});

test('a worker leaves before the first world: the others do not wait for one in its place', () => {
  let stages: (string | undefined)[] = [];
  holds({
    ...quiet,
    workers: 2,
    script: [
      {
        atMs: 1,
        when: ({ supervisor }) =>
          supervisor.workers.get('worker-1')?.state.stage === 'joining' &&
          supervisor.workers.get('worker-1')?.state.isConnected === true,
        act: ({ supervisor }) => {
          const node = supervisor.workers.get('worker-1');
          node?.process.deliver(() => node.dispatch({ kind: 'stopAsked' }));
        },
      },
      at(9_000, ({ supervisor }) => {
        stages = [...stages, ...supervisor.coordinators.map(({ state }) => state?.stage.kind)];
      }),
    ],
  });
  assert.deepEqual(
    stages,
    variants.map(() => 'running'),
  );
});

test('a coordinator stands still while a world connects, and hears of all at once', () => {
  holds({
    workers: 3,
    leafMs: 40,
    shape: { microShards: 6, lastStep: 250 },
    script: [
      at(12_000, ({ supervisor }) => supervisor.startWorker('worker-3')),
      {
        atMs: 12_001,
        when: ({ supervisor }) =>
          [...supervisor.workers.values()].some(({ state }) => state.stage === 'connecting'),
        act: ({ supervisor }) => {
          for (const { process } of supervisor.coordinators) process.freeze(4_000);
        },
      },
    ],
  });
});

test('a worker dies while all store the last state, and the store is slow', () => {
  holds({
    ...quiet,
    shape: { microShards: 6, lastStep: 20, checkpointEvery: 50 },
    script: [
      at(1_000, ({ around }) => around.disk.fail('fails', 8_000)),
      at(7_000, ({ supervisor }) => {
        const node = supervisor.workers.get('worker-0');
        if (node !== undefined) supervisor.killWorker(node, false, 4_000);
      }),
    ],
  });
});

test('a worker that trained alone reports files again that a cold start may have deleted', () => {
  holds({
    workers: 1,
    shape: { microShards: 4, lastStep: 150, checkpointEvery: 3 },
    script: [
      cut(4_000, 'worker-0', 'coordinator-a', 9_000),
      at(9_000, ({ supervisor }) => supervisor.startWorker('worker-1')),
    ],
  });
});
