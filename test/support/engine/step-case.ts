// A whole training step, to be run by one engine or another.

import { createLayout, viewsOf, type TensorSpec } from '../../../shared/layout.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { NamedTensors } from '../../../task/task.js';
import { randomInputs, type NamedArrays } from './graph-parity.js';

/** A step as a function, with values for its inputs. */
export interface StepCase {
  readonly inputs: readonly TensorSpec[];
  readonly values: NamedArrays;
  run(inputs: NamedTensors): NamedTensors;
}

/** The step of the spec's phase at `phase` on random pictures, at the initial parameters. */
export function stepOf(spec: RunSpec, phase = 0): StepCase {
  const task = createSrganTask(spec);
  const step = task.step(spec.phases.at(phase)!.name);
  const networks = task.networks.filter(({ name }) => step.reads.includes(name));
  const batch = task.batch(spec.batch.size);
  const values = randomInputs(batch, 5);
  for (const { name, parameters } of networks)
    Object.assign(values, viewsOf(createLayout(parameters), task.initialParameters(name, 3)));
  return {
    inputs: [...batch, ...networks.flatMap(({ parameters }) => parameters)],
    values,
    run: (inputs) => {
      const { gradients, statistics, metrics } = step.run(inputs);
      return { ...gradients, ...statistics, ...metrics };
    },
  };
}
