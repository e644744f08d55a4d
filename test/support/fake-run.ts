// A prepared run without engine, data or store, for driving a worker's compute side by hand: one
// small network whose gradients depend on parameters, step and micro-shard, and effects that a
// test can hold back.

import {
  createState,
  stateOf,
  type StateVectors,
  type TrainingState,
} from '../../shared/checkpoint/state.js';
import type { NetworkSpec } from '../../shared/layout.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { Step } from '../../shared/words.js';
import type { StepDefinition, Task } from '../../task/task.js';
import type { CompiledGraph, Engine, EngineState } from '../../worker/engine/engine.js';
import { createHostEngineState } from '../../worker/engine/host-engine-state.js';
import { ExchangeMemory } from '../../worker/exchange/memory.js';
import type { ToCompute, ToNetwork, WorldVectors } from '../../worker/network/ports.js';
import { createStepRecorder } from '../../worker/step-trace/step-recorder.js';
import { createCompute, type Compute } from '../../worker/training/compute.js';
import { createHoldableState, type HoldableState } from '../../worker/training/held-state.js';
import { createPhases } from '../../worker/training/phase.js';
import { createVectorPool, type PreparedRun } from '../../worker/training/prepare.js';
import { planSnapshot, takeSnapshot } from '../../worker/training/snapshot.js';
import { LocalState } from '../../worker/training/state.js';
import { createStepPlans, longestVectors } from '../../worker/training/step-plan.js';
import { createWorkspace } from '../../worker/training/step-vectors.js';
import { tinyRun } from './tiny-run.js';
import { until } from './until.js';

export const fakeNetworks: readonly NetworkSpec[] = [
  {
    name: 'generator',
    parameters: [{ name: 'w', shape: [5] }],
    statistics: [{ name: 'mean', shape: [2] }],
    isAveraged: true,
  },
];

/** Effects that a test may replace. */
export interface FakeEffects {
  /** Called when the loader starts to prepare a world's micro-shards. */
  whenLoaderStarts?: (step: Step, leaves: readonly number[]) => void;
  /** Called before the loader gives a micro-shard. */
  beforeBatch?: (step: Step, leaf: number) => Promise<void>;
  /** Called while a micro-shard is computed. */
  whileComputing?: (step: Step, leaf: number) => void | Promise<void>;
  /** Called while the whole state is read from the engine. */
  whileReading?: () => Promise<void>;
  /** Called before a part of the state that begins at `start` is read from the engine. */
  whileReadingRange?: (start: number) => Promise<void>;
  /** Devices of the engine; one unless said. */
  devices?: number;
  /** A gradient's value, given what it would be. */
  gradient?: (value: number, step: Step) => number;
  openState?: (step: Step) => Promise<TrainingState>;
  /** Called when room for a snapshot is prepared, and when it is given back. */
  room?: (what: 'prepared' | 'given back') => void;
  /** Resolves when the store has taken what was saved before. */
  stored?: () => Promise<void>;
  /** Whether reductions are answered at once; alone in the world, by the sums themselves. */
  answersReduce?: boolean;
}

type EnterChanges = Partial<ToCompute & { kind: 'enter' }>;
type Halted = ToNetwork & { kind: 'halted' };

export interface FakeWorker extends Compute {
  readonly local: LocalState;
  /** The state as it is now; its vectors are the worker's own. */
  state(): TrainingState;
  readonly spec: RunSpec;
  /** All messages to the network thread, in order. */
  readonly sent: ToNetwork[];
  /** Shares that were saved: "step:share/shares". */
  readonly saved: string[];
  of<K extends ToNetwork['kind']>(kind: K): (ToNetwork & { kind: K })[];
  /** Waits for the `count`-th message of a kind. */
  hear<K extends ToNetwork['kind']>(kind: K, count?: number): Promise<ToNetwork & { kind: K }>;
  /** Enters a world of one worker, from the seed unless `order` says otherwise. */
  enter(generation: number, order?: EnterChanges): void;
  /** Enters a world and starts to train in it. */
  start(generation: number, until: number, order?: EnterChanges): Promise<void>;
  /** Enters a world and trains in it until it halts. */
  train(generation: number, until: number, order?: EnterChanges): Promise<Halted>;
}

/** Starts the compute side of a worker over a fake run, and has it loaded. */
export async function fakeWorker(effects: FakeEffects = {}): Promise<FakeWorker> {
  const sent: ToNetwork[] = [];
  const saved: string[] = [];
  let exchanged: WorldVectors;
  const send = (message: ToNetwork): void => {
    sent.push(message);
    if (message.kind === 'entered') exchanged = message.vectors;
    // A world of one: its only contribution is the sum of all.
    if (message.kind !== 'contribute' || effects.answersReduce === false) return;
    const { step } = message;
    const share = Math.fround(1 / run.spec.batch.microShards);
    const { memory, contributions, contributionBytes, results } = exchanged;
    const [sums, mean] = [contributions[0], results[step % 2]].map(
      (place) => new Float32Array(memory.buffer, place, contributionBytes / 4),
    );
    mean.set(sums.map((sum) => sum * share));
    compute.onMessage({ kind: 'reduced', step });
  };
  const open = effects.openState ?? (() => Promise.resolve(fakeSeed()));
  const engine = fakeEngine(effects);
  const host = await createHostEngineState(fakeNetworks, engine.compile);
  const vectors = await host.read();
  const engineState = createHoldableState(onDevice(host, effects));
  const local = new LocalState(fakeNetworks, engineState, open, send);
  const state = (): TrainingState => stateOf(local.counters, vectors);
  const run = fakeRun(engine, local, engineState, saved, effects);
  const compute = createCompute({
    ...{ send, recorder: createStepRecorder(send) },
    prepare: () => Promise.resolve(run),
  });
  const of = <K extends ToNetwork['kind']>(kind: K): (ToNetwork & { kind: K })[] =>
    sent.filter((message): message is ToNetwork & { kind: K } => message.kind === kind);
  const hear = async <K extends ToNetwork['kind']>(
    kind: K,
    count = 1,
  ): Promise<ToNetwork & { kind: K }> => {
    await until(() => of(kind).length >= count, `message ${count} of ${kind}`, 5_000);
    return of(kind)[count - 1];
  };
  const enter: FakeWorker['enter'] = (generation, order = {}) =>
    compute.onMessage({
      kind: 'enter',
      generation,
      rank: 0,
      worldSize: 1,
      step: 0,
      source: 'checkpoint',
      donor: '',
      ...order,
    });
  const start: FakeWorker['start'] = async (generation, steps, order) => {
    enter(generation, order);
    await until(() => of('entered').some((m) => m.generation === generation), 'entered', 5_000);
    compute.onMessage({ kind: 'train', generation, until: steps });
  };
  const train: FakeWorker['train'] = async (generation, steps, order) => {
    const before = of('halted').length;
    await start(generation, steps, order);
    return await hear('halted', before + 1);
  };
  compute.onMessage({ kind: 'prepare', runUrl: 'file://run', record: '{}' });
  await hear('ready');
  return { ...compute, local, state, spec: run.spec, sent, saved, of, hear, enter, start, train };
}

/** A worker that was trained in world 1 up to a step, without any trouble, and halted. */
export async function trainedWorker(steps: number): Promise<FakeWorker> {
  const worker = await fakeWorker();
  await worker.train(1, steps);
  return worker;
}

/** Lets everything go on that waits for nothing but its turn. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The state that every fake run starts from. */
export function fakeSeed(): TrainingState {
  const state = createState(fakeNetworks);
  const { parameters, average } = state.networks['generator'];
  parameters.set([0.5, -1.25, 3, 0.1, -7]);
  average.set(parameters);
  return state;
}

type FakeEngine = Pick<Engine, 'fingerprint' | 'devices' | 'compile'>;

/** An engine whose gradients a test can foresee, and whose devices finish when a test says so. */
function fakeEngine(effects: FakeEffects): FakeEngine {
  const gradient = effects.gradient ?? ((value: number) => value);
  const graph: CompiledGraph = {
    run: async ({ hr, w }, fetches) => {
      const [step, leaf] = hr;
      await effects.whileComputing?.(step, leaf);
      const values = w.map((value, i) => gradient(value * 0.3 + step * 0.07 - leaf * i, step));
      fetches['gradient/w'].set(values);
      fetches['statistic/mean'].set([leaf, step + 0.5]);
      fetches['metric/loss'].set([leaf * 2]);
    },
    close: () => Promise.resolve(),
  };
  const devices = effects.devices ?? 1;
  return { fingerprint: 'fake', devices, compile: () => Promise.resolve(graph) };
}

/**
 * The state as a device would keep it: all takes a while, what is read is a copy that is spoilt
 * when the state changes, and reading and changing at the same time is a failure.
 */
function onDevice(
  host: EngineState,
  { whileReading, whileReadingRange }: FakeEffects,
): EngineState {
  const copies: Float32Array[] = [];
  const underWay = { reads: 0, changes: 0 };
  const copy = (values: Float32Array): Float32Array => {
    const copied = values.slice();
    copies.push(copied);
    return copied;
  };
  const whileNo = async <T>(
    other: 'reads' | 'changes',
    own: 'reads' | 'changes',
    work: () => Promise<T>,
  ): Promise<T> => {
    if (underWay[other] > 0) throw new Error(`${own} of the state during ${other}`);
    underWay[own] += 1;
    await turn();
    try {
      return await work();
    } finally {
      underWay[own] -= 1;
    }
  };
  const change = <T>(work: () => Promise<T>): Promise<T> =>
    whileNo('reads', 'changes', async () => {
      const result = await work();
      for (const copied of copies.splice(0)) copied.fill(NaN);
      return result;
    });
  return {
    read: () =>
      whileNo('changes', 'reads', async () => {
        await whileReading?.();
        const networks = Object.entries(await host.read()).map(([name, vectors]) => {
          const copied = Object.entries(vectors).map(([key, values]: [string, Float32Array]) => {
            return [key, copy(values)] as const;
          });
          return [name, Object.fromEntries(copied)] as const;
        });
        return Object.fromEntries(networks) as unknown as StateVectors;
      }),
    readRange: async (start, end) => {
      await whileReadingRange?.(start);
      return await whileNo('changes', 'reads', async () =>
        (await host.readRange(start, end)).map(copy),
      );
    },
    write: (values) => change(() => host.write(values)),
    compileStep: async (program) => {
      const step = await host.compileStep(program);
      return {
        gradients: (batch, out, device) =>
          whileNo('changes', 'reads', () => step.gradients(batch, out, device)),
        multiply: (blocks) => step.multiply(blocks),
        apply: (means, scalars) => {
          const { exact, gradients } = program.shape;
          if (means.exact.length !== exact || means.gradients.length !== gradients)
            throw new Error(`means of ${means.exact.length} and ${means.gradients.length}`);
          return change(() => step.apply(means, scalars));
        },
        close: () => step.close(),
      };
    },
    close: () => host.close(),
  };
}

function fakeRun(
  { fingerprint, devices }: FakeEngine,
  local: LocalState,
  held: HoldableState,
  saved: string[],
  effects: FakeEffects,
): PreparedRun {
  const tiny = tinyRun('file://nowhere');
  // One phase, and a checkpoint after every fourth step.
  const spec: RunSpec = { ...tiny, phases: [{ ...tiny.phases[0], steps: 1000 }] };
  const definition: StepDefinition = {
    frozen: [],
    reads: ['generator'],
    trains: ['generator'],
    statistics: fakeNetworks[0].statistics,
    metrics: ['loss'],
    run: () => {
      throw new Error('nothing is traced here');
    },
  };
  const task = {
    networks: fakeNetworks,
    batch: () => [],
    step: () => definition,
  } as unknown as Task;
  const memory = new ExchangeMemory();
  const { contributionBytes, resultBytes } = longestVectors(createStepPlans(task, spec));
  let isIdle = true;
  let storing: Promise<void> = Promise.resolve();
  return {
    run: 'fake',
    spec,
    fingerprint,
    devices,
    task,
    local,
    phases: createPhases(task, spec, local.engineState, {}),
    loader: {
      start: (step, leaves) => effects.whenLoaderStarts?.(step, leaves),
      take: async (step, leaf) => {
        await effects.beforeBatch?.(step, leaf);
        return { hr: Float32Array.of(step, leaf), lr: new Float32Array(0) };
      },
      close: () => Promise.resolve(),
    },
    // As where another phase has longer vectors.
    takeVectors: createVectorPool(memory, spec, {
      contributionBytes: contributionBytes + 64,
      resultBytes: resultBytes + 128,
    }),
    workspace: createWorkspace(memory, contributionBytes),
    saver: {
      get isIdle() {
        return isIdle;
      },
      idle: () => storing,
      prepare: () => effects.room?.('prepared'),
      giveBack: () => effects.room?.('given back'),
      save: (counters, share, shares) => {
        saved.push(`${counters.step}:${share}/${shares}`);
        isIdle = false;
        const plan = planSnapshot(fakeNetworks, share, shares);
        const room = plan.room.map((bytes) => new ArrayBuffer(bytes));
        const read = (start: number, end: number) => held.readRange(start, end);
        const copied = held.hold(() => takeSnapshot(plan, counters, read, room));
        storing = Promise.all([copied, effects.stored?.()]).then(() => {
          isIdle = true;
        });
        return copied.then(({ stateDigest }) => stateDigest);
      },
      close: () => Promise.resolve(),
    },
    evaluations: () => undefined,
    close: () => Promise.resolve(),
  };
}
