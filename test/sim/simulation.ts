// One simulated run from one seed: faults first, with oracles that watch what must never happen;
// then everything is healed, and the run has to end well within a bounded time.

import type { CoordinatorState } from '../../coordinator/core/state.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { Violation, type Fact, type Oracle } from './facts.js';
import { inflict, scheduleFaults, type FaultKind, type FaultPorts } from './faults.js';
import { createDice, type Dice } from './machines/dice.js';
import { ObjectDisk } from './machines/disk.js';
import { Network } from './machines/network.js';
import { SimClock } from './machines/process.js';
import { Coverage, Trace } from './machines/trace.js';
import {
  createBoundsOracle,
  createFencingOracle,
  createProgressOracle,
  createWitnessOracle,
} from './oracles/protocol.js';
import {
  createCheckpointOracle,
  createReference,
  createSampleOracle,
  createStateOracle,
} from './oracles/training.js';
import { createStrangersOracle } from './oracles/strangers.js';
import { sound, type Sabotage } from './sabotage.js';
import { Supervisor, coordinatorNodes } from './supervisor.js';
import type { RunShape } from './training-state.js';
import type { Surroundings } from './worker-node.js';

/** After healing the run must end within so long, and what all steps take one worker alone. */
const progressMs = 60_000;
const sizesMs = 500;

export interface SimOptions {
  readonly sabotage?: Partial<Sabotage>;
  /** Gets every line of the trace. */
  readonly print?: (line: string) => void;
  /** Instead of the seed's faults: what happens, and when. */
  readonly script?: readonly Scripted[];
  /** Instead of the seed's. */
  readonly shape?: Partial<RunShape>;
  readonly workers?: number;
  /** Most lanes of a worker: every other one has one fewer. */
  readonly lanes?: number;
  readonly leafMs?: number;
}

/** A fault at a time, or anything else that a scenario does. */
export interface Scripted {
  readonly atMs: number;
  /** Wait from then on until this holds. */
  readonly when?: (ports: FaultPorts) => boolean;
  readonly fault?: FaultKind;
  readonly act?: (ports: FaultPorts) => void;
}

export interface SimResult {
  readonly seed: number;
  readonly failure: Violation | undefined;
  readonly sha256: string;
  readonly events: number;
  readonly simulatedMs: number;
  readonly coverage: Coverage;
  readonly tail: readonly string[];
}

/** Runs one seed to its end. Same seed and options, same trace. */
export function runSeed(seed: number, options: SimOptions = {}): SimResult {
  const simulation = new Simulation(seed, options);
  let failure: Violation | undefined;
  try {
    simulation.run();
  } catch (error) {
    failure =
      error instanceof Violation
        ? error
        : new Violation('crash', error instanceof Error ? (error.stack ?? '') : String(error));
  }
  const { clock, trace, coverage } = simulation;
  return {
    ...{ seed, failure, coverage, events: clock.events, simulatedMs: clock.nowMs },
    ...{ sha256: trace.sha256(), tail: trace.tail(80) },
  };
}

class Simulation {
  readonly clock = new SimClock();
  readonly trace: Trace;
  readonly coverage = new Coverage();
  readonly #seed: number;
  readonly #options: SimOptions;
  readonly #dice: Dice;
  readonly #around: Surroundings;
  readonly #supervisor: Supervisor;
  readonly #oracles: readonly Oracle[];
  readonly #healAtMs: number;
  readonly #progressMs: number;

  constructor(seed: number, options: SimOptions) {
    this.#seed = seed;
    this.#options = options;
    this.trace = new Trace(this.clock, options.print);
    const dice = createDice(seed, 1);
    this.#dice = dice;
    const shape = { ...drawShape(seed, dice), ...options.shape };
    const slowest = dice.chance(0.2) ? 60 : 8;
    const network = new Network(this.clock, createDice(seed, 4), [0.2, slowest]);
    const disk = new ObjectDisk(this.clock, createDice(seed, 5));
    const sabotage = { ...sound, ...options.sabotage };
    const workers = options.workers ?? dice.integer(1, Math.min(5, shape.microShards));
    const leafMs = options.leafMs ?? dice.between(10, 60);
    this.#progressMs = progressMs + 1.7 * shape.lastStep * shape.microShards * leafMs;
    this.#healAtMs = dice.between(8_000, 20_000);
    const mostLanes = options.lanes ?? createDice(seed, 7).integer(1, 3);
    this.#around = {
      lanesOf: (worker) => Math.max(1, mostLanes - (worker.charCodeAt(worker.length - 1) % 2)),
      ...{ network, disk, shape, sabotage, trace: this.trace, coverage: this.coverage },
      coordinators: coordinatorNodes.map((node) => `${node}:6000`),
      patienceMs: 90_000,
      observe: (fact) => this.#observe(fact),
    };
    this.#supervisor = new Supervisor({ seed, around: this.#around, workers, leafMs });
    const reference = createReference(shape);
    this.#oracles = [
      createStateOracle(reference),
      createSampleOracle(shape),
      createFencingOracle(),
      createCheckpointOracle(reference, shape),
      createWitnessOracle(this.#supervisor),
      createBoundsOracle(shape),
      createStrangersOracle({ newestTerm: () => newestTermOn(disk) }),
      createProgressOracle(shape.lastStep),
    ];
  }

  run(): void {
    const { clock } = this;
    const { script } = this.#options;
    this.#supervisor.start();
    const ports = { around: this.#around, supervisor: this.#supervisor, dice: this.#dice };
    if (script === undefined) scheduleFaults(ports, this.#seed, this.#healAtMs);
    for (const scripted of script ?? [])
      clock.after(scripted.atMs, () => this.#act(ports, scripted));
    this.#takeSizesLater();
    const lastMs = Math.max(0, ...(script ?? []).map(({ atMs }) => atMs));
    const healAtMs = script === undefined ? this.#healAtMs : lastMs + 10_000;
    while (!this.#isOver() && clock.step(healAtMs));
    if (!this.#isOver()) this.#heal();
    const limitMs = clock.nowMs + this.#progressMs;
    while (!this.#isOver() && clock.step(limitMs));
    this.#judgeEnd();
  }

  #act(ports: FaultPorts, scripted: Scripted): void {
    const { when, fault, act } = scripted;
    if (when?.(ports) === false) return this.clock.after(0.5, () => this.#act(ports, scripted));
    if (fault === undefined) act?.(ports);
    else inflict(ports, fault);
  }

  #isOver(): boolean {
    return this.#supervisor.ending !== undefined;
  }

  #heal(): void {
    const { network, disk } = this.#around;
    this.trace.add('all', 'is healed');
    network.healAll();
    disk.heal();
    for (const { process, pace } of this.#supervisor.workers.values()) {
      pace.slowness = 1;
      process.thaw();
    }
    for (const { process } of this.#supervisor.coordinators) process.thaw();
    this.#supervisor.heal();
    this.#observe({ kind: 'healed' });
  }

  #judgeEnd(): void {
    const { ending } = this.#supervisor;
    if (ending === undefined)
      throw new Violation(
        'progress',
        `no end ${Math.round(this.#progressMs)} ms after all was healed`,
      );
    if (ending.code !== exitCodes.ok)
      throw new Violation('progress', `the run ended with ${ending.code}: ${ending.reason}`);
    const { disk } = this.#around;
    this.#observe({ kind: 'finished', read: (key) => disk.peek(key) });
  }

  #observe(fact: Fact): void {
    for (const oracle of this.#oracles) oracle.observe(fact, this.clock.nowMs);
  }

  #takeSizesLater(): void {
    this.clock.after(sizesMs, () => {
      const workers = [...this.#supervisor.workers.values()];
      const coordinators = this.#supervisor.coordinators
        .map(({ state }) => state)
        .filter((state): state is CoordinatorState => state !== undefined);
      this.#observe({
        kind: 'sizes',
        workers: workers.map(({ who, state }) => ({ who, state })),
        coordinators,
        held: workers.map(({ held }) => held),
        streams: this.#around.network.openSides,
      });
      this.#takeSizesLater();
    });
  }
}

function newestTermOn(disk: ObjectDisk): number {
  return Math.max(0, ...disk.keys('coordinators/').map((key) => Number(key.slice(-8))));
}

function drawShape(seed: number, dice: Dice): RunShape {
  const microShards = dice.integer(2, 10);
  return {
    seed,
    samples: dice.integer(20, 60),
    microShards,
    microShardSize: dice.integer(1, 3),
    chunks: dice.integer(1, 4),
    factorChunks: createDice(seed, 6).integer(0, 2),
    lastStep: dice.integer(40, 90),
    checkpointEvery: dice.integer(3, 12),
  };
}

export type Campaign = ReturnType<typeof runSeeds>;

/** Runs seeds from `from` on, until `isEnough` or `maxFailures` have failed. */
export function runSeeds(
  from: number,
  isEnough: (seeds: number, seconds: number) => boolean,
  options: SimOptions = {},
  maxFailures = 1,
) {
  const startedMs = performance.now();
  const coverage = new Coverage();
  const failures: SimResult[] = [];
  let [seeds, events, simulatedMs] = [0, 0, 0];
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  while (failures.length < maxFailures && !isEnough(seeds, seconds())) {
    const result = runSeed(from + seeds, options);
    seeds += 1;
    events += result.events;
    simulatedMs += result.simulatedMs;
    coverage.addAll(result.coverage);
    if (result.failure !== undefined) failures.push(result);
  }
  return { seeds, events, simulatedMs, seconds: seconds(), coverage, failures };
}

/** A failed seed, for whoever has to find out why. */
export function describeFailure({ seed, failure, tail }: SimResult): string {
  const again = `npm run sim -- --seed ${seed} --verbose`;
  return [`seed ${seed} failed: ${failure?.message}`, ...tail, `again: ${again}`].join('\n');
}
