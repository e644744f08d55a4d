// A phase made ready to run: its step (or both of its kinds) traced, lowered and compiled once, and
// bound to the state; and the layout of its vector, which is what workers exchange.

import { isDeepStrictEqual } from 'node:util';
import type { TrainingState } from '../../shared/checkpoint/state.js';
import {
  createLayout,
  sizeOf,
  sliceViews,
  type FlatLayout,
  type TensorSpec,
} from '../../shared/layout.js';
import type { Range } from '../../shared/plan/reduction.js';
import { phaseAt, type PhaseSpec, type RunSpec } from '../../shared/spec/schema.js';
import { partAt, partsOfPhase, stepInPhase, type StepPart } from '../../shared/spec/schedule.js';
import type { NamedTensors, StepDefinition, Task } from '../../task/task.js';
import type { MicroBatch } from '../data/loader.js';
import type { Engine } from '../engine/engine.js';

export interface Phase {
  readonly spec: PhaseSpec;
  readonly definition: StepDefinition;
  readonly vector: StepVector;
  /**
   * Computes one micro-shard at the state's present parameters: gradients, statistics and metrics,
   * in a vector of `vector.layout.size` floats that the next call overwrites. It is the phase's
   * own, since an engine may refuse to write into memory that threads share.
   */
  compute(batch: MicroBatch): Promise<Float32Array>;
  close(): Promise<void>;
}

/** The phases of a run, of which one is compiled at a time. */
export interface Phases {
  /** The phase of update number `step`, with the vector and the graph of that step. */
  at(step: number): Promise<Phase>;
  close(): Promise<void>;
}

/**
 * The phases over a state, whose arrays must stay the same objects; `frozen` are the weights that
 * never change, by the names of the step's inputs.
 */
export function createPhases(
  task: Task,
  spec: RunSpec,
  engine: Engine,
  state: TrainingState,
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
        compiled.get(part) ?? (await compilePhase(task, spec, wanted, part, engine, state, frozen));
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
  engine: Engine,
  state: TrainingState,
  frozen: Readonly<Record<string, Float32Array>>,
): Promise<Phase> {
  const definition = task.step(phase.name, part);
  const vector = stepVector(task, definition);
  const networks = task.networks.filter(({ name }) => definition.reads.includes(name));
  const inputs = [
    ...task.batch(spec.batch.size),
    ...networks.flatMap(({ parameters }) => parameters),
    ...definition.frozen,
  ];
  const compiled = await engine.compile(inputs, (tensors) => outputsBySlice(definition, tensors));
  const weights = Object.assign(
    Object.fromEntries(definition.frozen.map(({ name }) => [name, frozen[name]])),
    ...networks.map((network) =>
      sliceViews(createLayout(network.parameters), state.networks[network.name].parameters),
    ),
  ) as Record<string, Float32Array>;
  const out = new Float32Array(vector.layout.size);
  const { [stopVote]: _, ...fetches } = sliceViews(vector.layout, out);
  return {
    spec: phase,
    definition,
    vector,
    compute: async (batch) => {
      await compiled.run({ ...weights, ...batch }, fetches);
      return out;
    },
    close: () => compiled.close(),
  };
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

const stopVote = 'control/stop';

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
  slices.push({ name: stopVote, shape: [] });
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
