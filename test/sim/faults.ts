// What goes wrong in a simulation, and when: a seeded list of faults, each with its end.

import type { CoordinatorEvent } from '../../coordinator/core/state.js';
import { folderOf, stepOf } from './checkpoint-files.js';
import type { CoordinatorNode } from './coordinator-node.js';
import { createDice, type Dice } from './machines/dice.js';
import { coordinatorNodes, type Supervisor } from './supervisor.js';
import type { Surroundings, WorkerNode } from './worker-node.js';

/** All kinds of faults, with how often each is drawn. */
export const faultKinds = {
  killWorker: 6,
  loseMachine: 3,
  killAllWorkers: 0.4,
  freezeWorker: 4,
  slowWorker: 2,
  drainWorker: 2,
  addWorker: 2,
  scale: 1,
  killCoordinator: 4,
  loseCoordinatorMachine: 1,
  freezeCoordinator: 2,
  drainCoordinator: 2,
  loseLease: 1,
  secondCoordinator: 2,
  deleteTerm: 1,
  overwriteTerm: 0.5,
  stopRun: 1,
  cutPeers: 4,
  cutOneWay: 3,
  cutControl: 4,
  isolateWorker: 2,
  resetPeers: 2,
  resetControl: 2,
  loseMessages: 3,
  storeFails: 2,
  storeHangs: 2,
  flipBit: 1,
  secondProcess: 1,
  workerOfOtherRun: 1,
  falseTerm: 1,
  newcomerWithoutData: 1,
  forgedReports: 1,
} as const;

export type FaultKind = keyof typeof faultKinds;

export interface FaultPorts {
  readonly around: Surroundings;
  readonly supervisor: Supervisor;
  readonly dice: Dice;
}

/** Draws the faults of a seed and lets them happen in the first `untilMs`. */
export function scheduleFaults(ports: FaultPorts, seed: number, untilMs: number): void {
  const dice = createDice(seed, 3);
  // Most seeds have a few faults; some have none or many, and some all of one kind.
  const count = dice.chance(0.05) ? 0 : dice.chance(0.2) ? dice.integer(8, 16) : dice.integer(1, 6);
  const only = dice.chance(0.15) ? drawKind(dice) : undefined;
  const { clock } = ports.around.network;
  for (let i = 0; i < count; i++) {
    const kind = only ?? drawKind(dice);
    clock.after(dice.between(300, untilMs), () => {
      if (ports.supervisor.ending === undefined) inflict(ports, kind);
    });
  }
}

function drawKind(dice: Dice): FaultKind {
  const kinds = Object.entries(faultKinds) as [FaultKind, number][];
  let at = dice.uniform() * kinds.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [kind, weight] of kinds) {
    at -= weight;
    if (at < 0) return kind;
  }
  return 'killWorker';
}

/** Lets one fault happen now. */
export function inflict(ports: FaultPorts, kind: FaultKind): void {
  const target = act(ports, kind);
  if (target === undefined) return;
  ports.around.coverage.count(`fault ${kind}`);
  ports.around.trace.add('fault', `${kind} ${target}`);
  ports.around.observe({ kind: 'fault', name: kind, target });
}

/** Does it; what it was done to, or undefined when there is nothing to do it to. */
function act(ports: FaultPorts, kind: FaultKind): string | undefined {
  const { supervisor, dice, around } = ports;
  const { network, disk } = around;
  const { clock } = network;
  const workers = [...supervisor.workers.values()];
  const coordinator = supervisor.coordinators.at(-1);
  const worker = workers.length === 0 ? undefined : dice.pick(workers);
  if (worker === undefined) return undefined;
  const forMs = dice.chance(0.3) ? dice.between(4_000, 10_000) : dice.between(200, 4_000);
  const respawnMs = dice.chance(0.7) ? dice.between(300, 5_000) : undefined;
  switch (kind) {
    case 'killWorker':
      supervisor.killWorker(worker, false, respawnMs);
      return worker.process.name;
    case 'loseMachine':
      supervisor.killWorker(worker, true, respawnMs);
      return worker.process.name;
    case 'killAllWorkers':
      for (const node of workers) supervisor.killWorker(node, false, dice.between(300, 4_000));
      return 'all';
    case 'freezeWorker':
      // Peers that hear nothing for so long end their streams: then it is between them.
      for (const { who } of forMs > 1_000 ? workers : [worker])
        supervisor.trouble(who.worker, forMs);
      worker.process.freeze(forMs);
      network.froze(worker.process);
      return `${worker.process.name} for ${Math.round(forMs)} ms`;
    case 'slowWorker':
      worker.pace.slowness = dice.between(2, 12);
      clock.after(forMs, () => (worker.pace.slowness = 1));
      return worker.process.name;
    case 'drainWorker':
      worker.process.deliver(() => worker.dispatch({ kind: 'stopAsked' }));
      return worker.process.name;
    case 'addWorker':
      return addWorker(ports);
    case 'scale': {
      const wanted = dice.integer(1, Math.min(6, around.shape.microShards));
      ask(coordinator, { kind: 'scaleAsked', workers: wanted });
      return `to ${wanted}`;
    }
    case 'killCoordinator':
    case 'loseCoordinatorMachine': {
      if (coordinator === undefined) return undefined;
      supervisor.killCoordinator(coordinator, kind === 'loseCoordinatorMachine');
      const next =
        kind === 'killCoordinator' ? coordinator.process.node : otherNode(coordinator.process.node);
      clock.after(forMs, () => {
        if (supervisor.coordinators.length === 0 && supervisor.ending === undefined)
          supervisor.startCoordinator(next);
      });
      return coordinator.process.name;
    }
    case 'freezeCoordinator':
      coordinator?.process.freeze(forMs);
      if (coordinator !== undefined) network.froze(coordinator.process);
      return coordinator?.process.name;
    case 'drainCoordinator':
    case 'loseLease':
    case 'stopRun':
      return ask(coordinator, requests[kind]);
    case 'secondCoordinator':
      return coordinator === undefined
        ? undefined
        : secondCoordinator(ports, coordinator.process.node, forMs);
    case 'secondProcess':
      supervisor.startSecond(worker, forMs);
      return worker.process.name;
    case 'workerOfOtherRun':
    case 'falseTerm':
    case 'newcomerWithoutData':
    case 'forgedReports':
      supervisor.sendStranger(kind, 2 * forMs);
      return `for ${Math.round(2 * forMs)} ms`;
    case 'deleteTerm':
    case 'overwriteTerm': {
      const key = disk.keys('coordinators/').at(-1);
      if (key === undefined) return undefined;
      if (kind === 'deleteTerm') disk.remove(key);
      else disk.replace(key, 'nobody#0');
      return key;
    }
    case 'loseMessages':
      network.isLossy = true;
      supervisor.troubleControl(undefined, forMs);
      clock.after(forMs, () => (network.isLossy = false));
      return 'all';
    case 'storeFails':
    case 'storeHangs':
      disk.fail(kind === 'storeFails' ? 'fails' : 'hangs', forMs);
      return `for ${Math.round(forMs)} ms`;
    case 'flipBit': {
      // Of a checkpoint that is whole: one in the making is not read before it is.
      const keys = disk.keys('checkpoints/');
      const isWhole = (key: string): boolean =>
        keys.includes(folderOf(stepOf(key)) + 'manifest.json');
      // Nobody reads the last one again: the run is over with it.
      const isLast = (key: string): boolean => stepOf(key) === around.shape.lastStep;
      const parts = keys
        .filter((key) => key.endsWith('.safetensors') && isWhole(key))
        .filter((key) => !isLast(key));
      if (parts.length === 0) return undefined;
      const key = dice.pick(parts);
      disk.flip(key);
      return key;
    }
    default:
      return cutSomething(ports, kind, worker, forMs);
  }
}

const requests = {
  drainCoordinator: { kind: 'leaveAsked', reason: 'SIGTERM' },
  loseLease: { kind: 'leaseLost', reason: 'it could not be renewed' },
  stopRun: { kind: 'stopAsked', reason: 'the operator asked' },
} as const;

function ask(node: CoordinatorNode | undefined, event: CoordinatorEvent): string | undefined {
  node?.process.deliver(() => node.dispatch(event));
  return node?.process.name;
}

function addWorker({ supervisor, around }: FaultPorts): string | undefined {
  if (supervisor.workers.size >= Math.min(8, around.shape.microShards + 1)) return undefined;
  for (let i = 0; ; i++) {
    const worker = `worker-${i}`;
    if (supervisor.workers.has(worker)) continue;
    supervisor.startWorker(worker);
    return worker;
  }
}

function otherNode(node: string): string {
  return coordinatorNodes.find((other) => other !== node)!;
}

/** The machine of the coordinator is cut off from some, and another coordinator takes over. */
function secondCoordinator(
  { supervisor, around, dice }: FaultPorts,
  node: string,
  forMs: number,
): string {
  const { network } = around;
  const cutOff = [...supervisor.workers.keys()].filter(() => dice.chance(0.6));
  for (const worker of cutOff) {
    supervisor.troubleControl(worker, forMs);
    network.cutBothWays(node, worker, forMs);
  }
  supervisor.startCoordinator(otherNode(node));
  return `${node}, cut off from ${cutOff.join(' ')}`;
}

function cutSomething(
  { supervisor, around, dice }: FaultPorts,
  kind: FaultKind,
  worker: WorkerNode,
  forMs: number,
): string | undefined {
  const { network } = around;
  const self = worker.process.node;
  const peers = [...supervisor.workers.keys()].filter((id) => id !== self);
  const leader = supervisor.coordinators.at(-1)?.process.node ?? coordinatorNodes[0];
  const isControl = kind === 'cutControl' || kind === 'resetControl';
  if (!isControl && peers.length === 0) return undefined;
  const other = isControl ? leader : dice.pick(peers);
  if (kind === 'resetPeers' || kind === 'resetControl') {
    for (const id of [self, other]) supervisor.trouble(id);
    network.reset(self, other);
    return `${self} and ${other}`;
  }
  if (!isControl) for (const id of [self, other]) supervisor.trouble(id, forMs);
  if (isControl || kind === 'isolateWorker') supervisor.troubleControl(self, forMs);
  if (kind === 'isolateWorker') for (const id of peers) supervisor.trouble(id, forMs);
  const others = kind === 'isolateWorker' ? [...peers, ...coordinatorNodes] : [other];
  const isOneWay = kind === 'cutOneWay' || (kind === 'cutControl' && dice.chance(0.4));
  const isInward = dice.chance(0.5);
  for (const node of others) {
    if (!isOneWay) network.cutBothWays(node, self, forMs);
    else if (isInward) network.cut(node, self, forMs);
    else network.cut(self, node, forMs);
  }
  return `${self} and ${others.join(' ')}${isOneWay ? ' one way' : ''} for ${Math.round(forMs)} ms`;
}
