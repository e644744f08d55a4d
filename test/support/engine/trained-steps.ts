// Steps of training by an engine's own state, with the worker's code and without a world: one
// micro-shard a step, the same each time.

import { countersOf, createState } from '../../../shared/checkpoint/state.js';
import { createLayout, sliceViews } from '../../../shared/layout.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { MicroBatch } from '../../../worker/data/loader.js';
import { outputViews, type Engine } from '../../../worker/engine/engine.js';
import { createPhases } from '../../../worker/training/phase.js';
import { sectionsOf } from '../../../worker/training/step-plan.js';
import { commitStep } from '../../../worker/training/update.js';
import type { NamedArrays } from './graph-parity.js';

/** What so many steps come to, by tensor. */
export interface TrainedSteps {
  /** Outputs of the last step: "gradient/<parameter>", "statistic/<name>", "metric/<name>". */
  readonly outputs: NamedArrays;
  /** Of all networks, after it. */
  readonly parameters: NamedArrays;
  /** "<network>/<vector>" for moments, statistics and average. */
  readonly vectors: NamedArrays;
}

/**
 * Takes steps of the spec's phase at `phase` from the parameters in `values`, on the pictures and
 * with the frozen weights that are there as well; statistics begin as the task's.
 */
export async function takeSteps(
  engine: Engine,
  spec: RunSpec,
  values: NamedArrays,
  count: number,
  phase = -1,
  onStep: (taken: number) => void = () => undefined,
): Promise<TrainedSteps> {
  const endless = { ...spec.phases.at(phase)!, steps: 1000, discriminatorSteps: 1 };
  const alone: RunSpec = { ...spec, phases: [endless] };
  const task = createSrganTask(alone);
  const start = createState(task.networks);
  for (const network of task.networks) {
    const own = start.networks[network.name];
    own.parameters.set(task.initialParameters(network.name, 3));
    for (const [name, view] of Object.entries(viewsOf(network.parameters, own.parameters)))
      if (name in values) view.set(values[name]);
    own.statistics.set(task.initialStatistics(network.name));
    if (own.average.length > 0) own.average.set(own.parameters);
  }
  const state = await engine.createState(task.networks);
  await state.write(start.networks);
  const phases = createPhases(task, alone, state, values);
  const step = await phases.at(0);
  const { layout, shape } = step.vector;
  const batch = { hr: values['hr'], lr: values['lr'] } satisfies MicroBatch;
  let counters = countersOf(start);
  let mean = new Float32Array(0);
  for (let i = 0; i < count; i++) {
    mean = (await step.compute(batch, 0)).slice();
    const { factors, ...means } = sectionsOf(shape, mean);
    await step.multiply(new Array<Float32Array>(spec.batch.microShards).fill(factors));
    ({ counters } = await commitStep(alone, step, counters, means));
    onStep(i + 1);
  }
  const outputs = outputViews(layout, mean);
  const last = await state.read();
  const parameters: NamedArrays = {};
  const vectors: NamedArrays = {};
  for (const network of task.networks) {
    const { parameters: flat, ...others } = last[network.name];
    Object.assign(parameters, viewsOf(network.parameters, flat.slice()));
    for (const [name, values] of Object.entries(others))
      vectors[`${network.name}/${name}`] = values.slice();
  }
  await phases.close();
  await state.close();
  return { outputs, parameters, vectors };
}

function viewsOf(tensors: Parameters<typeof createLayout>[0], flat: Float32Array): NamedArrays {
  return sliceViews(createLayout(tensors), flat);
}
