// How long one micro-shard takes: the step's gradients of all networks and their Adam update, on
// random pictures and without exchange, in this process. It measures and decides nothing.

import { setImmediate } from 'node:timers/promises';
import {
  createLayout,
  sizeOf,
  sliceViews,
  type FlatLayout,
  type NetworkSpec,
} from '../shared/layout.js';
import { median } from '../shared/median.js';
import { createRandomStream } from '../shared/random.js';
import type { TrainedNetwork } from '../shared/spec/schedule.js';
import type { EngineName, PhaseSpec, Precision, RunSpec } from '../shared/spec/schema.js';
import { readFrozenInputs } from '../shared/weights/feature-weights.js';
import { createSrganTask } from '../task/srgan/task.js';
import type { StepDefinition, Task } from '../task/task.js';
import { createEngine } from '../worker/engine/create-engine.js';
import type { Provider } from '../worker/engine/engine.js';
import { applyAdam, type AdamState } from '../worker/training/update.js';

export interface StepBenchOptions {
  readonly spec: RunSpec;
  /** Images of the micro-shard. */
  readonly batch: number;
  readonly engine: EngineName;
  readonly threads: number;
  readonly provider?: Provider | undefined;
  readonly precision?: Precision | undefined;
  /** Steps that are measured, after two that are not. */
  readonly steps: number;
  /** Writes the engine's profile to a file that starts with this. */
  readonly profile?: string | undefined;
}

/** Seconds are wall time; `rss_mib` is the largest resident memory of the process so far. */
export interface StepBenchResult {
  readonly step_s: number;
  readonly min_s: number;
  readonly max_s: number;
  /** Processor time of the median step, all threads. */
  readonly cpu_s: number;
  readonly images_per_s: number;
  readonly rss_mib: number;
  /** Resident memory after the first measured step and after the last. */
  readonly rss_first_mib: number;
  readonly rss_last_mib: number;
  /** Native tensors that are alive after the last step beyond those before the first. */
  readonly native_tensors: number;
  readonly engine: string;
  readonly threads: number;
  readonly batch: number;
  readonly preset: string;
  readonly steps: number;
}

const warmUpSteps = 2;

/** What a step took: seconds of wall and processor time; bytes resident after it. */
interface Taken {
  readonly wall: number;
  readonly cpu: number;
  readonly rss: number;
}

/** A network that is trained: flat vectors and Adam's state over them. */
interface Trained {
  readonly layout: FlatLayout;
  readonly state: AdamState;
  readonly gradient: Float32Array;
}

/** Measures the step of the spec's last phase. */
export async function benchStep(options: StepBenchOptions): Promise<StepBenchResult> {
  const { spec, batch, steps } = options;
  const engine = await createEngine(options.engine, options);
  const phase = spec.phases.at(-1)!;
  const task = createSrganTask(spec);
  const step = task.step(phase.name);
  const compiled = await engine.compile(stepInputs(task, step, batch), (inputs) => {
    const { gradients, statistics, metrics } = step.run(inputs);
    return { ...gradients, ...statistics, ...metrics };
  });
  const networks = task.networks.filter(({ name }) => step.trains.includes(name));
  const trained = networks.map((network) => startTraining(task, network));
  const feeds = {
    ...{ ...randomBatch(task, batch), ...merge(trained, (t) => t.state.parameters) },
    ...(await readFrozenInputs(spec, step.frozen, {})),
  };
  const fetches = { ...merge(trained, (t) => t.gradient), ...otherOutputs(step) };
  const tensorsBefore = engine.nativeTensors();
  const times: Taken[] = [];
  for (let i = 0; i < warmUpSteps + steps; i++) {
    const [wall, cpu] = [performance.now(), process.cpuUsage()];
    await compiled.run(feeds, fetches);
    update(trained, networks, phase, spec);
    const { user, system } = process.cpuUsage(cpu);
    if (i >= warmUpSteps)
      times.push({
        wall: (performance.now() - wall) / 1e3,
        cpu: (user + system) / 1e6,
        rss: process.memoryUsage.rss(),
      });
    await setImmediate();
  }
  const tensors = engine.nativeTensors() - tensorsBefore;
  await compiled.close();
  return summarize(options, engine.fingerprint, times, tensors);
}

function stepInputs(task: Task, step: StepDefinition, batch: number) {
  const read = task.networks.filter(({ name }) => step.reads.includes(name));
  return [...task.batch(batch), ...read.flatMap(({ parameters }) => parameters), ...step.frozen];
}

function startTraining(task: Task, network: NetworkSpec): Trained {
  const layout = createLayout(network.parameters);
  const parameters = task.initialParameters(network.name, 1);
  const zeros = () => new Float32Array(layout.size);
  const state = { parameters, firstMoment: zeros(), secondMoment: zeros(), updates: 0 };
  return { layout, state, gradient: zeros() };
}

/** Views by tensor name into one of each network's flat vectors. */
function merge(
  trained: readonly Trained[],
  vector: (trained: Trained) => Float32Array,
): Record<string, Float32Array> {
  return Object.assign(
    {},
    ...trained.map((each) => sliceViews(each.layout, vector(each))),
  ) as Record<string, Float32Array>;
}

function randomBatch(task: Task, batch: number): Record<string, Float32Array> {
  const stream = createRandomStream(1);
  const fill = (size: number) => Float32Array.from({ length: size }, () => stream.uniform());
  return Object.fromEntries(
    task.batch(batch).map(({ name, shape }) => [name, fill(sizeOf(shape))]),
  );
}

function otherOutputs({ statistics, metrics }: StepDefinition): Record<string, Float32Array> {
  const scalars = metrics.map((name) => [name, new Float32Array(1)] as const);
  const vectors = statistics.map(
    ({ name, shape }) => [name, new Float32Array(sizeOf(shape))] as const,
  );
  return Object.fromEntries([...scalars, ...vectors]);
}

function update(
  trained: readonly Trained[],
  networks: readonly NetworkSpec[],
  { learningRate }: PhaseSpec,
  { optimizer }: RunSpec,
): void {
  trained.forEach(({ state, gradient }, i) => {
    const { name } = networks[i];
    const rate = learningRate[name as TrainedNetwork];
    applyAdam(state, gradient, { ...optimizer, learningRate: rate });
  });
}

function summarize(
  { spec, batch, threads, steps }: StepBenchOptions,
  engine: string,
  times: readonly Taken[],
  tensors: number,
): StepBenchResult {
  const wall = times.map((time) => time.wall);
  const cpu = times.map((time) => time.cpu);
  const round = (value: number) => Math.round(value * 1000) / 1000;
  return {
    step_s: round(median(wall)),
    min_s: round(Math.min(...wall)),
    max_s: round(Math.max(...wall)),
    cpu_s: round(median(cpu)),
    images_per_s: round(batch / median(wall)),
    rss_mib: Math.round(process.resourceUsage().maxRSS / 1024),
    rss_first_mib: Math.round(times[0].rss / 2 ** 20),
    rss_last_mib: Math.round(times.at(-1)!.rss / 2 ** 20),
    native_tensors: tensors,
    engine,
    threads,
    batch,
    preset: spec.name,
    steps,
  };
}
