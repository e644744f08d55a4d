// A phase made ready to run: its step (or both of its kinds) compiled once by the engine that keeps
// the state.

import { isDeepStrictEqual } from 'node:util';
import { phaseAt, type PhaseSpec, type RunSpec } from '../../shared/spec/schema.js';
import { partAt, stepInPhase, type StepPart } from '../../shared/spec/schedule.js';
import type { UpdateProgram } from '../../task/ops/update.js';
import type { StepDefinition, Task } from '../../task/task.js';
import type { MicroBatch } from '../data/loader.js';
import type { CompiledStep, EngineState } from '../engine/engine.js';
import { createStepPlans, outputsBySlice, type StepPlans, type StepVector } from './step-plan.js';

export interface Phase extends Pick<CompiledStep, 'multiply' | 'apply'> {
  readonly spec: PhaseSpec;
  readonly definition: StepDefinition;
  readonly vector: StepVector;
  /** The gradients that are exchanged as factors are its products. */
  readonly update: UpdateProgram;
  /**
   * Computes one micro-shard at the present state on one of the engine's devices: gradients,
   * statistics and metrics, in a vector of `vector.layout.size` floats that the next call for the
   * device overwrites. It is the phase's own, since an engine may refuse to write into memory that
   * threads share.
   */
  compute(batch: MicroBatch, device: number): Promise<Float32Array>;
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
 * by the names of the step's inputs. The plans are made here where nobody has them already.
 */
export function createPhases(
  task: Task,
  spec: RunSpec,
  state: EngineState,
  frozen: Readonly<Record<string, Float32Array>>,
  plans: StepPlans = createStepPlans(task, spec),
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
        compiled.get(part) ?? (await compilePhase(task, plans, wanted, part, state, frozen));
      compiled.set(part, phase);
      return { ...phase, spec: wanted };
    },
    close,
  };
}

async function compilePhase(
  task: Task,
  plans: StepPlans,
  phase: PhaseSpec,
  part: StepPart,
  state: EngineState,
  frozen: Readonly<Record<string, Float32Array>>,
): Promise<Phase> {
  const { batch } = plans.spec;
  const { definition, vector, update } = plans.of(phase, part);
  const step = await state.compileStep({
    batch: task.batch(batch.size),
    reads: definition.reads,
    frozen: definition.frozen.map((tensor) => ({ ...tensor, values: frozen[tensor.name] })),
    run: (tensors) => outputsBySlice(definition, tensors),
    layout: vector.layout,
    shape: vector.shape,
    leaves: batch.microShards,
    update,
  });
  const outs: Float32Array[] = [];
  return {
    spec: phase,
    definition,
    vector,
    update,
    compute: async (batch, device) => {
      const out = (outs[device] ??= new Float32Array(vector.layout.size));
      await step.gradients({ ...batch }, out, device);
      return out;
    },
    multiply: (blocks) => step.multiply(blocks),
    apply: (means, scalars) => step.apply(means, scalars),
    close: () => step.close(),
  };
}
