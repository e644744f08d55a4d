// Applies a reduced step to the state: optimizer, running statistics, step number. Replicated:
// every worker does the same to the same bytes, also when it skips a step that can't be applied.

import type { TrainingState } from '../../shared/checkpoint/state.js';
import { createLayout, type TensorSpec } from '../../shared/layout.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { Task } from '../../task/task.js';
import { applyAdam } from '../optimizer/adam.js';
import { areFinite } from './finite.js';
import type { Phase } from './phase.js';

/** So many skipped steps in a row end the training: waiting for better ones is in vain. */
export const maxSkippedInARow = 10;

/**
 * Commits one step: `mean` is the reduced vector of the phase, averages over micro-shards. With
 * gradients or statistics that are not finite the step is skipped: it counts, and changes nothing
 * else. Gives whether it was.
 */
export function commitStep(
  task: Task,
  spec: RunSpec,
  phase: Phase,
  state: TrainingState,
  mean: Float32Array,
): 'applied' | 'skipped' {
  state.step += 1;
  // Gradients come first and statistics next: all that is applied.
  if (!areFinite(mean.subarray(0, phase.vector.statistics.end))) {
    state.skippedInARow += 1;
    return 'skipped';
  }
  state.skippedInARow = 0;
  for (const [network, { start, end }] of Object.entries(phase.vector.gradients)) {
    const learningRate = phase.spec.learningRate[network as 'generator' | 'discriminator'];
    const options = { ...spec.optimizer, learningRate };
    applyAdam(state.networks[network], mean.subarray(start, end), options);
  }
  const { start, end } = phase.vector.statistics;
  const averages = mean.subarray(start, end);
  updateStatistics(task, phase.definition.statistics, state, averages, spec.statisticsMomentum);
  return 'applied';
}

/** Why a run can't go on from this state; empty when it can. The same on all workers. */
export function troubleOf({ step, skippedInARow }: TrainingState): string {
  if (skippedInARow < maxSkippedInARow) return '';
  return (
    `the gradients of ${skippedInARow} steps in a row were not finite ` +
    `(steps ${step - skippedInARow + 1} to ${step}): lower the learning rate or look at the data`
  );
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
