// Whoever runs the processes of a simulation (lockstep train, or Kubernetes): starts
// workers and coordinators, starts them again when they end, resumes a run that was stopped.

import { exitCodes } from '../../shared/exit-codes.js';
import type { Pace } from './compute-side.js';
import { CoordinatorNode } from './coordinator-node.js';
import { createDice, type Dice } from './machines/dice.js';
import { SimProcess } from './machines/process.js';
import { sendStranger, type StrangerKind } from './machines/stranger.js';
import { WorkerNode, type Surroundings } from './worker-node.js';

/** How long a trouble that is over may still have consequences. */
const memoryMs = 8_000;

function controlOf(worker: string): string {
  return `the control link of ${worker}`;
}

/** Coordinators are started on these machines in turn. */
export const coordinatorNodes = ['coordinator-a', 'coordinator-b'] as const;

export interface SupervisorOptions {
  readonly seed: number;
  readonly around: Surroundings;
  readonly workers: number;
  readonly leafMs: number;
}

export class Supervisor {
  /** Running worker processes, by id. */
  readonly workers = new Map<string, WorkerNode>();
  /** Running coordinators, the newest last. */
  readonly coordinators: CoordinatorNode[] = [];
  /** How the run ended, if a coordinator said so. */
  ending: { readonly code: number; readonly reason: string } | undefined;
  /** Ids of the workers that are to run. */
  readonly #wanted = new Set<string>();
  readonly #incarnations = new Map<string, number>();
  readonly #options: SupervisorOptions;
  readonly #dice: Dice;
  /** Until when something is, or may still be, the matter with a worker and its peers. */
  readonly #troubledUntilMs = new Map<string, number>();
  #starts = 0;
  /** Until when another process had the id of a worker, or could have. */
  readonly #sharedUntilMs = new Map<string, number>();
  /** Processes that should not be there, and are gone at the latest when all is healed. */
  readonly #strangers = new Set<SimProcess>();
  #target: number;
  #isRespawning = true;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#dice = createDice(options.seed, 2);
    this.#target = options.workers;
  }

  get #clock() {
    return this.#options.around.network.clock;
  }

  start(): void {
    this.startCoordinator(coordinatorNodes[0]);
    for (let i = 0; i < this.#target; i++) this.startWorker(`worker-${i}`);
  }

  /** Notes that something is the matter with a worker, or between it and a peer. */
  trouble(worker: string, forMs = 0): void {
    const untilMs = this.#clock.nowMs + forMs + memoryMs;
    this.#troubledUntilMs.set(worker, Math.max(untilMs, this.#troubledUntilMs.get(worker) ?? 0));
  }

  /** Notes that something is the matter between a worker, or all, and the coordinators. */
  troubleControl(worker?: string, forMs = 0): void {
    for (const id of worker === undefined ? this.workers.keys() : [worker])
      this.trouble(controlOf(id), forMs);
  }

  /** Whether nothing was the matter between the worker and its coordinator of late. */
  isHeard(worker: string): boolean {
    return this.#clock.nowMs > (this.#troubledUntilMs.get(controlOf(worker)) ?? 0);
  }

  /** Also that no other process had its id meanwhile: that one may be the one that is lost. */
  isWell(worker: string): boolean {
    return this.#isUntroubled(worker) && this.#clock.nowMs > (this.#sharedUntilMs.get(worker) ?? 0);
  }

  #isUntroubled(worker: string): boolean {
    const { isAlive, isFrozen } = this.workers.get(worker)?.process ?? {};
    const untilMs = this.#troubledUntilMs.get(worker) ?? 0;
    return isAlive === true && isFrozen === false && this.#clock.nowMs > untilMs;
  }

  isCutOff(worker: string): boolean {
    const { generation } = this.workers.get(worker)?.state.world ?? {};
    return [...this.workers.values()].some(
      ({ state }) => state.world.generation === generation && state.suspicions.has(worker),
    );
  }

  /** Whether all processes of a world of several run, and train in it. */
  trains(generation: number): boolean {
    const inside = [...this.workers.values()].filter(
      ({ state }) => state.world.generation === generation,
    );
    const size = inside[0]?.state.world.members.length;
    return (
      inside.length > 1 &&
      inside.length === size &&
      inside.every(({ state }) => state.stage === 'training')
    );
  }

  /** Starts one more process of a coordinator, whether or not another one runs. */
  startCoordinator(node: string): void {
    const { around } = this.#options;
    around.network.back(node);
    const process = this.#process(node, `${node}#${++this.#starts}`);
    const coordinator = new CoordinatorNode({
      around,
      process,
      dice: createDice(this.#options.seed, 1_000 + this.#starts),
      worldSize: this.#target,
      onTarget: (workers) => this.#scale(workers),
      onExit: ({ exitCode, reason }) => {
        this.killCoordinator(coordinator);
        this.#onCoordinatorExit(node, exitCode, reason);
      },
    });
    this.coordinators.push(coordinator);
  }

  killCoordinator(coordinator: CoordinatorNode, isMachineGone = false): void {
    const at = this.coordinators.indexOf(coordinator);
    if (at >= 0) this.coordinators.splice(at, 1);
    coordinator.process.kill();
    this.troubleControl();
    this.#options.around.network.died(coordinator.process, isMachineGone);
  }

  startWorker(worker: string): void {
    this.#wanted.add(worker);
    if (this.workers.has(worker) || this.ending !== undefined) return;
    const { around, leafMs } = this.#options;
    const incarnation = (this.#incarnations.get(worker) ?? 0) + 1;
    this.#incarnations.set(worker, incarnation);
    around.network.back(worker);
    this.trouble(worker);
    const process = this.#process(worker, `${worker}.${incarnation}`);
    const dice = createDice(this.#options.seed, 10_000 + ++this.#starts);
    const pace: Pace = {
      prepareMs: dice.between(50, 400),
      leafMs: leafMs * dice.between(0.8, 1.3),
      updateMs: dice.between(2, 8),
      slowness: 1,
    };
    const node: WorkerNode = new WorkerNode({
      ...{ around, process, dice, pace, who: { worker, incarnation } },
      windowChunks: dice.integer(1, 4),
      onExit: (code, reason) => this.#onWorkerExit(node, code, reason),
    });
    this.workers.set(worker, node);
    around.trace.add(process.name, 'starts');
  }

  /** `respawnMs`: how soon it is started again; undefined: not before everything is healed. */
  killWorker(node: WorkerNode, isMachineGone: boolean, respawnMs: number | undefined): void {
    if (!node.process.isAlive) return;
    this.#options.around.trace.add(node.process.name, isMachineGone ? 'is gone' : 'is killed');
    this.#end(node, isMachineGone);
    if (respawnMs !== undefined) this.#respawnLater(node.who.worker, respawnMs);
  }

  /** Another process with the id of a worker, on a machine of its own, for a while. */
  startSecond({ who: { worker } }: WorkerNode, forMs: number): void {
    const { around, leafMs, seed } = this.#options;
    const incarnation = 1_000 + ++this.#starts;
    this.#sharedUntilMs.set(worker, this.#clock.nowMs + forMs + memoryMs);
    const process = this.#stranger(forMs);
    const end = (code: number, reason: string): void => {
      around.trace.add(process.name, `second ${worker} ends with ${code}: ${reason}`);
      around.coverage.count(`second process exit ${code}`);
      this.#endStranger(process);
    };
    new WorkerNode({
      ...{ around, process, windowChunks: 2, who: { worker, incarnation }, onExit: end },
      dice: createDice(seed, 20_000 + this.#starts),
      pace: { prepareMs: 100, leafMs, updateMs: 4, slowness: 1 },
    });
  }

  /** A process that is no worker of this run talks to the coordinators, for a while. */
  sendStranger(kind: StrangerKind, forMs: number): void {
    const { network, coordinators } = this.#options.around;
    this.#starts += 1;
    sendStranger(kind, network, this.#stranger(forMs), coordinators);
  }

  #stranger(forMs: number): SimProcess {
    const process = this.#process(`elsewhere-${this.#starts}`, `stranger#${this.#starts}`);
    this.#strangers.add(process);
    this.#clock.after(forMs, () => this.#endStranger(process));
    return process;
  }

  #endStranger(process: SimProcess): void {
    if (!this.#strangers.delete(process)) return;
    process.kill();
    this.#options.around.network.died(process, false);
  }

  /** A worker is not started again; another one may be, in its place. */
  discharge(worker: string): void {
    this.#wanted.delete(worker);
  }

  /** Everything that should run is started. */
  heal(): void {
    for (const process of [...this.#strangers]) this.#endStranger(process);
    for (let i = 0; this.#wanted.size < this.#target; i++) this.#wanted.add(`worker-${9 - i}`);
    for (const worker of this.#wanted) this.#respawnLater(worker, this.#dice.between(0, 1_000));
    if (this.coordinators.length === 0 && this.ending === undefined)
      this.startCoordinator(this.#dice.pick(coordinatorNodes));
  }

  #process(node: string, name: string): SimProcess {
    return new SimProcess(this.#clock, node, name, Math.floor(this.#dice.between(0, 1e7)));
  }

  #respawnLater(worker: string, delayMs: number): void {
    this.#clock.after(delayMs, () => {
      if (this.#isRespawning && this.#wanted.has(worker)) this.startWorker(worker);
    });
  }

  #end(node: WorkerNode, isMachineGone: boolean): void {
    node.process.kill();
    this.#options.around.network.died(node.process, isMachineGone);
    if (this.workers.get(node.who.worker) === node) this.workers.delete(node.who.worker);
  }

  #onWorkerExit(node: WorkerNode, code: number, reason: string): void {
    this.#options.around.trace.add(node.process.name, `ends with ${code}: ${reason}`);
    this.#options.around.coverage.count(`worker exit ${code}`);
    const { worker } = node.who;
    const isReplaced = /has joined as|has opened a newer session/.test(reason);
    if (isReplaced && this.#isUntroubled(worker) && this.isHeard(worker))
      this.#options.around.observe({ kind: 'displaced', worker });
    this.#end(node, false);
    if (code === exitCodes.ok) return;
    if (code === exitCodes.drained) this.#wanted.delete(node.who.worker);
    else this.#respawnLater(node.who.worker, this.#dice.between(300, 1_500));
    // A run must not shrink to nothing because its workers left one after the other.
    if (this.#wanted.size < 1) this.startWorker(`worker-${this.#dice.integer(0, 2)}`);
  }

  #scale(workers: number): void {
    this.#target = workers;
    const wanted = [...this.#wanted].sort();
    for (let i = 0; wanted.length < workers; i++) {
      const worker = `worker-${i}`;
      if (this.#wanted.has(worker)) continue;
      wanted.push(worker);
      this.startWorker(worker);
    }
  }

  #onCoordinatorExit(node: string, code: number, reason: string): void {
    this.#options.around.trace.add(node, `coordinator ends with ${code}: ${reason}`);
    this.#options.around.coverage.count(`coordinator exit ${code}`);
    if (code === exitCodes.superseded || code === exitCodes.drained) {
      // Whoever took over may be gone by now.
      this.#clock.after(1_000, () => {
        if (this.coordinators.length === 0 && this.ending === undefined)
          this.startCoordinator(node);
      });
      return;
    }
    if (code === exitCodes.stopped || code === exitCodes.interrupted) {
      // The operator resumes what was stopped.
      this.#clock.after(this.#dice.between(500, 2_000), () => {
        this.startCoordinator(node);
        for (const worker of this.#wanted) this.startWorker(worker);
      });
      return;
    }
    this.ending ??= { code, reason };
  }
}
