// Applies a reduced step to the state: optimizer, running statistics, step number. Replicated:
// every worker does the same to the same bytes.

import type { TrainingState } from '../../shared/checkpoint/state.js';
import { createLayout, type TensorSpec } from '../../shared/flat/layout.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { Task } from '../../task/task.js';
import { applyAdam } from '../optimizer/adam.js';
import type { Phase } from './phase.js';

/** Commits one step: `mean` is the reduced vector of the phase, averages over micro-shards. */
export function commitStep(
  task: Task,
  spec: RunSpec,
  phase: Phase,
  state: TrainingState,
  mean: Float32Array,
): void {
  for (const [network, { start, end }] of Object.entries(phase.vector.gradients)) {
    const learningRate = phase.spec.learningRate[network as 'generator' | 'discriminator'];
    const options = { ...spec.optimizer, learningRate };
    applyAdam(state.networks[network], mean.subarray(start, end), options);
  }
  const { start, end } = phase.vector.statistics;
  const averages = mean.subarray(start, end);
  updateStatistics(task, phase.definition.statistics, state, averages, spec.statisticsMomentum);
  state.step += 1;
}

/** running = momentum * running + (1 - momentum) * average, for each statistic of the step. */
function updateStatistics(
  task: Task,
  tensors: readonly TensorSpec[],
  state: TrainingState,
  averages: Float32Array,
  momentum: number,
): void {
  const source = createLayout(tensors);
  for (const network of task.networks) {
    const running = state.networks[network.name].statistics;
    for (const { name, offset, size } of createLayout(network.statistics).slices) {
      const from = source.slices.find((slice) => slice.name === name);
      if (from === undefined) continue;
      for (let i = 0; i < size; i++)
        running[offset + i] =
          momentum * running[offset + i] + (1 - momentum) * averages[from.offset + i];
    }
  }
}
