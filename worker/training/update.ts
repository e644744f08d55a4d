// Applies a reduced step to the state: optimizer, running statistics, step number. Replicated:
// every worker does the same arithmetic on the same bytes, so all hold the same state; only
// + - * / and sqrt, which are exactly rounded everywhere.

import type { NetworkState, TrainingState } from '../../shared/checkpoint/state.js';
import { createLayout, type TensorSpec } from '../../shared/layout.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { Task } from '../../task/task.js';
import type { Phase } from './phase.js';

/** So many skipped steps in a row end the training: better ones will not come. */
const maxSkippedInARow = 10;

/**
 * Commits one step: `mean` is the reduced vector of the phase, averages over micro-shards. With
 * gradients or statistics that are not finite the step is skipped: it counts, and changes nothing
 * else.
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
    updateAverage(state.networks[network], spec.ema);
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

/**
 * Whether no value is infinite or NaN. Sums in float64 decide it. Finite float32 values are below
 * 2^128 in size, so that a sum of n of them stays below n * 2^128: it could leave float64's range
 * (2^1024) with 2^896 of them, more than any memory holds. And a sum that has once become
 * infinite or NaN stays one of the two, whatever is added.
 */
export function areFinite(values: Float32Array): boolean {
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += values[i];
    b += values[i + 1];
    c += values[i + 2];
    d += values[i + 3];
  }
  for (let i = whole; i < values.length; i++) a += values[i];
  return Number.isFinite(a + b + c + d);
}

/** Adam's constants; `learningRate` is that of the phase. */
interface AdamOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** What Adam changes: three vectors of one length, and the number of updates so far. */
export type AdamState = Omit<NetworkState, 'statistics' | 'average'>;

/**
 * One update in place (Kingma and Ba, "Adam", algorithm 1, in double precision, stored as
 * float32). `gradient` has the length of the vectors and is only read.
 */
export function applyAdam(state: AdamState, gradient: Float32Array, options: AdamOptions): void {
  const { parameters, firstMoment, secondMoment } = state;
  const { learningRate, beta1, beta2, epsilon } = options;
  state.updates += 1;
  const scale1 = 1 / (1 - integerPower(beta1, state.updates));
  const scale2 = 1 / (1 - integerPower(beta2, state.updates));
  const [rest1, rest2] = [1 - beta1, 1 - beta2];
  for (let i = 0; i < parameters.length; i++) {
    const g = gradient[i];
    const m = beta1 * firstMoment[i] + rest1 * g;
    const v = beta2 * secondMoment[i] + rest2 * g * g;
    firstMoment[i] = m;
    secondMoment[i] = v;
    parameters[i] -= (learningRate * m * scale1) / (Math.sqrt(v * scale2) + epsilon);
  }
}

/**
 * After update number n (from 1): average = d * average + (1 - d) * parameters, in double
 * precision, stored as float32; d is `decay`, or less at first: (1 + n) / (10 + n), as in
 * TensorFlow's ExponentialMovingAverage, so that the average forgets the initial parameters soon.
 * A state that keeps no average (an empty vector) stays as it is.
 */
export function updateAverage(
  { parameters, average, updates }: Pick<NetworkState, 'parameters' | 'average' | 'updates'>,
  decay: number,
): void {
  const rest = 1 - Math.min(decay, (1 + updates) / (10 + updates));
  for (let i = 0; i < average.length; i++) average[i] += rest * (parameters[i] - average[i]);
}

/**
 * base^exponent by repeated squaring: `Math.pow` may differ in the last bit between versions of
 * the JavaScript engine.
 */
export function integerPower(base: number, exponent: number): number {
  let [result, square] = [1, base];
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square;
    square *= square;
  }
  return result;
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
