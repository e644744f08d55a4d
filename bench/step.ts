// How long one micro-shard takes: the step's gradients of all networks and their update, on random
// pictures and without exchange, in this process, by the worker's own code. It measures and decides
// nothing.

import { setImmediate } from 'node:timers/promises';
import type { Counters, StateVectors } from '../shared/checkpoint/state.js';
import { sizeOf } from '../shared/layout.js';
import { median } from '../shared/median.js';
import { createRandomStream } from '../shared/random.js';
import type { DeviceCount } from '../shared/spec/engines.js';
import { pinExchange } from '../shared/spec/exchange.js';
import type { EngineName, Precision, RunSpec } from '../shared/spec/schema.js';
import { readFrozenInputs } from '../shared/weights/feature-weights.js';
import { createSrganTask } from '../task/srgan/task.js';
import type { Task } from '../task/task.js';
import type { MicroBatch } from '../worker/data/loader.js';
import { createEngine } from '../worker/engine/create-engine.js';
import type { Engine, Provider } from '../worker/engine/engine.js';
import { createPhases } from '../worker/training/phase.js';
import { sectionsOf } from '../worker/training/step-plan.js';
import { commitStep } from '../worker/training/update.js';

export interface StepBenchOptions {
  readonly spec: RunSpec;
  /** Images of the micro-shard. */
  readonly batch: number;
  readonly engine: EngineName;
  readonly threads: number;
  readonly provider?: Provider | undefined;
  readonly precision?: Precision | undefined;
  /** Devices, each with a micro-shard of its own; 1 when left out. */
  readonly devices?: DeviceCount | undefined;
  /** Steps that are measured, after two that are not. */
  readonly steps: number;
  /** Writes the engine's profile to a file that starts with this. */
  readonly profile?: string | undefined;
}

/** Seconds are wall time; `rss_mib` is the largest resident memory of the process so far. */
export interface StepBenchResult {
  readonly step_s: number;
  /** Of the median step: gradients, with copies to and from a device; update, with the norms. */
  readonly compute_s: number;
  readonly update_s: number;
  readonly min_s: number;
  readonly max_s: number;
  /** Processor time of the median step, all threads. */
  readonly cpu_s: number;
  readonly images_per_s: number;
  readonly rss_mib: number;
  /** Resident memory after the first measured step and after the last. */
  readonly rss_first_mib: number;
  readonly rss_last_mib: number;
  /** Memory in use on the engine's devices, where it knows, at the same times. */
  readonly device_first_mib?: number;
  readonly device_last_mib?: number;
  /** Until the step is ready: traced, lowered and compiled. */
  readonly compile_s: number;
  /** Native tensors that are alive after the last step beyond those after the warm-up. */
  readonly native_tensors: number;
  readonly engine: string;
  readonly threads: number;
  readonly devices: number;
  /** Images of each device's micro-shard. */
  readonly batch: number;
  readonly preset: string;
  readonly steps: number;
}

const warmUpSteps = 2;

/** What a step took: seconds of wall and processor time; bytes resident after it. */
interface Taken {
  readonly wall: number;
  readonly compute: number;
  readonly update: number;
  readonly cpu: number;
  readonly rss: number;
  readonly device: number | undefined;
}

/** Measures the step of the spec's last phase. */
export async function benchStep(options: StepBenchOptions): Promise<StepBenchResult> {
  const { batch, steps } = options;
  const spec = pinExchange(lastPhaseAlone(options, batch));
  const task = createSrganTask(spec);
  const engine = await createEngine(options.engine, options);
  const state = await engine.createState(task.networks);
  await state.write(initialValues(task, await state.read()));
  let counters: Counters = { step: 0, skippedInARow: 0, updates: {} };
  const { frozen } = task.step(spec.phases[0].name);
  const phases = createPhases(task, spec, state, await readFrozenInputs(spec, frozen, {}));
  const beforeCompiling = performance.now();
  const phase = await phases.at(0);
  const compiling = (performance.now() - beforeCompiling) / 1e3;
  const pictures = randomBatch(task, batch);
  let tensorsBefore = 0;
  const times: Taken[] = [];
  for (let i = 0; i < warmUpSteps + steps; i++) {
    // Products of factors have their places from the first step on.
    if (i === warmUpSteps) tensorsBefore = engine.nativeTensors();
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    const vector = await sumOfDevices(engine.devices, (one) => phase.compute(pictures, one));
    const computed = performance.now();
    const { factors, ...means } = sectionsOf(phase.vector.shape, vector);
    await phase.multiply(new Array<Float32Array>(spec.batch.microShards).fill(factors));
    ({ counters } = await commitStep(spec, phase, counters, means));
    const ended = performance.now();
    const { user, system } = process.cpuUsage(cpu);
    if (i >= warmUpSteps)
      times.push({
        wall: (ended - began) / 1e3,
        compute: (computed - began) / 1e3,
        update: (ended - computed) / 1e3,
        cpu: (user + system) / 1e6,
        rss: process.memoryUsage.rss(),
        device: engine.memoryInUse?.(),
      });
    await setImmediate();
  }
  const tensors = engine.nativeTensors() - tensorsBefore;
  await phases.close();
  await state.close();
  await engine.close();
  return summarize(options, { engine, times, tensors, compiling });
}

/** Has all devices compute side by side, and adds up their vectors. */
async function sumOfDevices(
  devices: number,
  compute: (device: number) => Promise<Float32Array>,
): Promise<Float32Array> {
  const all = await Promise.all(Array.from({ length: devices }, (_, device) => compute(device)));
  const [sum, ...others] = all;
  for (const other of others) for (let i = 0; i < sum.length; i++) sum[i] += other[i];
  return sum;
}

/** The spec with its last phase only, which all networks take part in and which does not end. */
function lastPhaseAlone({ spec, engine }: StepBenchOptions, batch: number): RunSpec {
  const phase = { ...spec.phases.at(-1)!, steps: Number.MAX_SAFE_INTEGER, discriminatorSteps: 1 };
  return {
    ...spec,
    batch: { ...spec.batch, size: batch },
    phases: [phase],
    engine: { ...spec.engine, name: engine },
  };
}

/** The task's initial values; the rest is as it is in `zeros`, whose memory it shares. */
function initialValues(task: Task, zeros: StateVectors): StateVectors {
  const values = task.networks.map(({ name, isAveraged }) => {
    const parameters = task.initialParameters(name, 1);
    const average = isAveraged === true ? parameters : zeros[name].average;
    const statistics = task.initialStatistics(name);
    return [name, { ...zeros[name], parameters, average, statistics }] as const;
  });
  return Object.fromEntries(values);
}

function randomBatch(task: Task, batch: number): MicroBatch {
  const stream = createRandomStream(1);
  const fill = (size: number) => Float32Array.from({ length: size }, () => stream.uniform());
  const tensors = task.batch(batch).map(({ name, shape }) => [name, fill(sizeOf(shape))] as const);
  return Object.fromEntries(tensors) as unknown as MicroBatch;
}

interface Measured {
  readonly engine: Pick<Engine, 'fingerprint' | 'devices'>;
  readonly times: readonly Taken[];
  readonly tensors: number;
  /** Seconds. */
  readonly compiling: number;
}

function summarize(
  { spec, batch, threads, steps }: StepBenchOptions,
  { engine, times, tensors, compiling }: Measured,
): StepBenchResult {
  const wall = times.map((time) => time.wall);
  const cpu = times.map((time) => time.cpu);
  const round = (value: number) => Math.round(value * 1e4) / 1e4;
  const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
  const [first, last] = [times[0], times.at(-1)!];
  return {
    step_s: round(median(wall)),
    compute_s: round(median(times.map((time) => time.compute))),
    update_s: round(median(times.map((time) => time.update))),
    min_s: round(Math.min(...wall)),
    max_s: round(Math.max(...wall)),
    cpu_s: round(median(cpu)),
    images_per_s: round((engine.devices * batch) / median(wall)),
    rss_mib: Math.round(process.resourceUsage().maxRSS / 1024),
    rss_first_mib: mib(first.rss),
    rss_last_mib: mib(last.rss),
    ...(first.device === undefined ? {} : { device_first_mib: mib(first.device) }),
    ...(last.device === undefined ? {} : { device_last_mib: mib(last.device) }),
    compile_s: round(compiling),
    native_tensors: tensors,
    engine: engine.fingerprint,
    threads,
    devices: engine.devices,
    batch,
    preset: spec.name,
    steps,
  };
}
