// A phase made ready to run: its step (or both of its kinds) compiled once by the engine that keeps
// the state; and the layout of its vector, which is what workers exchange.

import { isDeepStrictEqual } from 'node:util';
import { createLayout, sizeOf, type FlatLayout, type TensorSpec } from '../../shared/layout.js';
import type { Range } from '../../shared/plan/reduction.js';
import { phaseAt, type PhaseSpec, type RunSpec } from '../../shared/spec/schema.js';
import { partAt, partsOfPhase, stepInPhase, type StepPart } from '../../shared/spec/schedule.js';
import type { UpdateProgram, UpdateScalars } from '../../task/ops/update.js';
import type { NamedTensors, StepDefinition, Task } from '../../task/task.js';
import type { MicroBatch } from '../data/loader.js';
import { voteSlice, type EngineState } from '../engine/engine.js';

export interface Phase {
  readonly spec: PhaseSpec;
  readonly definition: StepDefinition;
  readonly vector: StepVector;
  /**
   * Computes one micro-shard at the present state on one of the engine's devices: gradients,
   * statistics and metrics, in a vector of `vector.layout.size` floats that the next call for the
   * device overwrites. It is the phase's own, since an engine may refuse to write into memory that
   * threads share.
   */
  compute(batch: MicroBatch, device: number): Promise<Float32Array>;
  /** Applies a reduced vector, known to be finite, to the state. */
  apply(mean: Float32Array, scalars: UpdateScalars): Promise<void>;
  close(): Promise<void>;
}

/** The phases of a run, of which one is compiled at a time. */
export interface Phases {
  /** The phase of update number `step`, with the vector and the graph of that step. */
  at(step: number): Promise<Phase>;
  close(): Promise<void>;
}

/**
 * The phases of a run over the state that they train; `frozen` are the weights that never change,
 * by the names of the step's inputs.
 */
export function createPhases(
  task: Task,
  spec: RunSpec,
  state: EngineState,
  frozen: Readonly<Record<string, Float32Array>>,
): Phases {
  // Phases with the same losses take the same steps: they differ in number and learning rates.
  let loss: PhaseSpec['loss'] | undefined;
  const compiled = new Map<StepPart, Phase>();
  const close = async (): Promise<void> => {
    const closing = [...compiled.values()];
    compiled.clear();
    await Promise.all(closing.map((phase) => phase.close()));
  };
  return {
    at: async (step) => {
      const wanted = phaseAt(spec, step);
      if (!isDeepStrictEqual(loss, wanted.loss)) await close();
      ({ loss } = wanted);
      const part = partAt(wanted, stepInPhase(spec, step));
      const phase =
        compiled.get(part) ?? (await compilePhase(task, spec, wanted, part, state, frozen));
      compiled.set(part, phase);
      return { ...phase, spec: wanted };
    },
    close,
  };
}

async function compilePhase(
  task: Task,
  spec: RunSpec,
  phase: PhaseSpec,
  part: StepPart,
  state: EngineState,
  frozen: Readonly<Record<string, Float32Array>>,
): Promise<Phase> {
  const definition = task.step(phase.name, part);
  const vector = stepVector(task, definition);
  const step = await state.compileStep({
    batch: task.batch(spec.batch.size),
    reads: definition.reads,
    frozen: definition.frozen.map((tensor) => ({ ...tensor, values: frozen[tensor.name] })),
    run: (tensors) => outputsBySlice(definition, tensors),
    layout: vector.layout,
    update: updateOf(task, definition, vector),
  });
  const outs: Float32Array[] = [];
  return {
    spec: phase,
    definition,
    vector,
    compute: async (batch, device) => {
      const out = (outs[device] ??= new Float32Array(vector.layout.size));
      await step.gradients({ ...batch }, out, device);
      return out;
    },
    apply: (mean, scalars) => step.apply(mean, scalars),
    close: () => step.close(),
  };
}

/** Where a step's gradients and statistics go; statistics that lie together go together. */
function updateOf(
  task: Task,
  definition: StepDefinition,
  { gradients, statistics }: StepVector,
): UpdateProgram {
  const networks = Object.entries(gradients).map(([network, gradient]) => ({ network, gradient }));
  const { slices } = createLayout(definition.statistics);
  const moves: { network: string; offset: number; from: number; size: number }[] = [];
  for (const { name: network, statistics: running } of task.networks)
    for (const { name, offset, size } of createLayout(running).slices) {
      const slice = slices.find((slice) => slice.name === name);
      if (slice === undefined) continue;
      const from = statistics.start + slice.offset;
      const last = moves.at(-1);
      const isNext =
        last?.network === network &&
        last.offset + last.size === offset &&
        last.from + last.size === from;
      if (isNext) last.size += size;
      else moves.push({ network, offset, from, size });
    }
  return { networks, statistics: moves };
}

/**
 * The flat vector of a step, in buckets one behind the other: gradients of each trained network,
 * BatchNorm statistics, metrics, and the vote to stop. Places are in floats.
 */
interface StepVector {
  /** Slices are named by the step graph's output ports. */
  readonly layout: FlatLayout;
  /** The gradient of each trained network, in the layout of its parameters. */
  readonly gradients: Readonly<Record<string, Range>>;
  /** The statistics, in the order of the step's definition. */
  readonly statistics: Range;
  readonly metrics: Range;
  /** Where a worker votes to stop: when the mean is above 0, all halt after the step. */
  readonly vote: number;
}

type Bucket = 'gradient' | 'statistic' | 'metric';

/** Name of an output's slice: "gradient/generator/head/filter". */
function sliceName(bucket: Bucket, output: string): string {
  return `${bucket}/${output}`;
}

/** Lays out the vector of a phase's step. */
export function stepVector(task: Task, definition: StepDefinition): StepVector {
  const slices: TensorSpec[] = [];
  let end = 0;
  const append = (bucket: Bucket, tensors: readonly TensorSpec[]): Range => {
    const start = end;
    for (const { name, shape } of tensors) {
      slices.push({ name: sliceName(bucket, name), shape });
      end += sizeOf(shape);
    }
    return { start, end };
  };
  const gradients: Record<string, Range> = {};
  for (const { name, parameters } of task.networks)
    if (definition.trains.includes(name)) gradients[name] = append('gradient', parameters);
  const statistics = append('statistic', definition.statistics);
  const metrics = append(
    'metric',
    definition.metrics.map((name) => ({ name, shape: [] })),
  );
  slices.push({ name: voteSlice, shape: [] });
  return { layout: createLayout(slices), gradients, statistics, metrics, vote: end };
}

/** The length of the longest vector that any phase of the run exchanges, in floats. */
export function longestVector(task: Task, spec: RunSpec): number {
  const sizes = spec.phases.flatMap((phase) =>
    partsOfPhase(phase).map((part) => stepVector(task, task.step(phase.name, part)).layout.size),
  );
  return Math.max(...sizes);
}

function outputsBySlice(definition: StepDefinition, inputs: NamedTensors): NamedTensors {
  const { gradients, statistics, metrics } = definition.run(inputs);
  const rename = (bucket: Bucket, tensors: NamedTensors) =>
    Object.entries(tensors).map(([name, tensor]) => [sliceName(bucket, name), tensor] as const);
  return Object.fromEntries([
    ...rename('gradient', gradients),
    ...rename('statistic', statistics),
    ...rename('metric', metrics),
  ]);
}
