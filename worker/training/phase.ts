// A phase made ready to run: its step traced, lowered and compiled once, and bound to the state.

import { isDeepStrictEqual } from 'node:util';
import { createLayout, viewsOf, type TensorSpec } from '../../shared/layout.js';
import { phaseAt, type PhaseSpec, type RunSpec } from '../../shared/spec/schema.js';
import type { TrainingState } from '../../shared/checkpoint/state.js';
import type { NamedTensors, StepDefinition, StepOutputs, Task } from '../../task/task.js';
import type { MicroBatch } from '../data/loader.js';
import type { Engine } from '../engine/engine.js';
import { outputName, stepVector, stopVote, type StepVector } from './step-vector.js';

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
      // Phases that differ in steps and learning rates take the same step.
      if (current !== undefined && isDeepStrictEqual(current.spec.loss, wanted.loss))
        return (current = { ...current, spec: wanted });
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
  const compiled = await engine.compile(stepInputs(task, spec, definition), (inputs) =>
    nameOutputs(definition.run(inputs)),
  );
  const parameters = parameterViews(task, definition, state);
  const out = new Float32Array(vector.layout.size);
  const { [stopVote]: _, ...fetches } = viewsOf(vector.layout, out);
  return {
    spec: phase,
    definition,
    vector,
    compute: async (batch) => {
      await compiled.run({ ...parameters, ...batch }, fetches);
      return out;
    },
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
