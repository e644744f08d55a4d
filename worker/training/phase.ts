// A phase made ready to run: its step traced, lowered and compiled once, and bound to the state.

import { viewsOf, type TensorSpec } from '../../shared/flat/layout.js';
import { createLayout } from '../../shared/flat/layout.js';
import { phaseAt, type PhaseSpec, type RunSpec } from '../../shared/spec/schema.js';
import type { TrainingState } from '../../shared/checkpoint/state.js';
import type { StepDefinition, StepOutputs, Task } from '../../task/task.js';
import type { NamedTensors } from '../../task/task.js';
import { trace } from '../../trace/trace.js';
import type { MicroBatch } from '../data/loader.js';
import type { CompiledGraph, Engine } from '../engine/engine.js';
import { outputName, stepVector, type StepVector } from './step-vector.js';

export interface Phase {
  readonly spec: PhaseSpec;
  readonly definition: StepDefinition;
  readonly vector: StepVector;
  /**
   * Computes one micro-shard at the state's present parameters: writes gradients, statistics and
   * metrics into the head of `out` (at least `vector.layout.size` floats).
   */
  compute(batch: MicroBatch, out: Float32Array): Promise<void>;
  close(): Promise<void>;
}

/** The phases of a run, of which one is compiled at a time. */
export interface Phases {
  /** The phase of update number `step`. */
  at(step: number): Promise<Phase>;
  close(): Promise<void>;
}

/** Creates the phases over a state, whose arrays must stay the same objects. */
export function createPhases(
  task: Task,
  spec: RunSpec,
  engine: Engine,
  state: TrainingState,
): Phases {
  let current: Phase | undefined;
  const close = async (): Promise<void> => {
    const closing = current;
    current = undefined;
    await closing?.close();
  };
  return {
    at: async (step) => {
      const wanted = phaseAt(spec, step);
      if (current?.spec.name === wanted.name) return current;
      await close();
      current = await compilePhase(task, spec, wanted, engine, state);
      return current;
    },
    close,
  };
}

/** The length of the longest vector that any phase of the run exchanges, in floats. */
export function longestVector(task: Task, spec: RunSpec): number {
  const sizes = spec.phases.map(({ name }) => stepVector(task, task.step(name)).layout.size);
  return Math.max(...sizes);
}

async function compilePhase(
  task: Task,
  spec: RunSpec,
  phase: PhaseSpec,
  engine: Engine,
  state: TrainingState,
): Promise<Phase> {
  const definition = task.step(phase.name);
  const vector = stepVector(task, definition);
  const graph = trace(stepInputs(task, spec, definition), (inputs) =>
    nameOutputs(definition.run(inputs)),
  );
  const compiled = await engine.compile(graph);
  const parameters = parameterViews(task, definition, state);
  const fetches = createFetches(vector);
  return {
    spec: phase,
    definition,
    vector,
    compute: (batch, out) => runStep(compiled, { ...parameters, ...batch }, fetches(out)),
    close: () => compiled.close(),
  };
}

/** Inputs of a phase's step: a micro-shard, and the parameters of the networks it reads. */
export function stepInputs(task: Task, spec: RunSpec, definition: StepDefinition): TensorSpec[] {
  const networks = task.networks.filter(({ name }) => definition.reads.includes(name));
  return [...task.batch(spec.batch.size), ...networks.flatMap(({ parameters }) => parameters)];
}

/** A step's outputs under the names of its vector's slices. */
export function nameOutputs({ gradients, statistics, metrics }: StepOutputs): NamedTensors {
  const rename = (bucket: 'gradient' | 'statistic' | 'metric', tensors: NamedTensors) =>
    Object.entries(tensors).map(([name, tensor]) => [outputName(bucket, name), tensor] as const);
  return Object.fromEntries([
    ...rename('gradient', gradients),
    ...rename('statistic', statistics),
    ...rename('metric', metrics),
  ]);
}

function parameterViews(
  task: Task,
  definition: StepDefinition,
  state: TrainingState,
): Record<string, Float32Array> {
  const views = task.networks
    .filter(({ name }) => definition.reads.includes(name))
    .map(({ name, parameters }) =>
      viewsOf(createLayout(parameters), state.networks[name].parameters),
    );
  return Object.assign({}, ...views) as Record<string, Float32Array>;
}

/** Views of a vector by output name, made once for each buffer. */
function createFetches(vector: StepVector): (out: Float32Array) => Record<string, Float32Array> {
  const known = new Map<Float32Array, Record<string, Float32Array>>();
  return (out) => {
    let views = known.get(out);
    if (views === undefined) {
      const slices = vector.layout.slices.slice(0, -1);
      views = Object.fromEntries(
        slices.map(({ name, offset, size }) => [name, out.subarray(offset, offset + size)]),
      );
      known.set(out, views);
    }
    return views;
  };
}

function runStep(
  compiled: CompiledGraph,
  feeds: Record<string, Float32Array>,
  fetches: Record<string, Float32Array>,
): Promise<void> {
  return compiled.run(feeds, fetches);
}
