// Applies a reduced step to the state: optimizer, running statistics, step number. Replicated:
// every worker does the same arithmetic on the same bytes, so all hold the same state; only
// + - * / and sqrt, which are exactly rounded everywhere.

import type { NetworkState, TrainingState } from '../../shared/checkpoint/state.js';
import { createLayout, type TensorSpec } from '../../shared/layout.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { learningRateAt, stepInPhase, type TrainedNetwork } from '../../shared/spec/schedule.js';
import type { Task } from '../../task/task.js';
import type { Phase } from './phase.js';

/** So many skipped steps in a row end the training: better ones will not come. */
const maxSkippedInARow = 10;

/** What became of a step. */
export interface Committed {
  /** Whether it changed nothing but the number of the step. */
  readonly isSkipped: boolean;
  /** L2 norm of each trained network's mean gradient. */
  readonly gradientNorms: ReadonlyMap<string, number>;
}

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
): Committed {
  const { gradients, statistics } = phase.vector;
  const squares = Object.entries(gradients).map(
    ([network, { start, end }]) => [network, sumOfSquares(mean.subarray(start, end))] as const,
  );
  const averages = mean.subarray(statistics.start, statistics.end);
  const total = squares.reduce((sum, [, square]) => sum + square, sumOfSquares(averages));
  const isSkipped = !Number.isFinite(total);
  const gradientNorms = new Map(squares.map(([name, square]) => [name, Math.sqrt(square)]));
  const index = stepInPhase(spec, state.step);
  state.step += 1;
  state.skippedInARow = isSkipped ? state.skippedInARow + 1 : 0;
  if (isSkipped) return { isSkipped, gradientNorms };
  for (const [network, { start, end }] of Object.entries(gradients)) {
    const learningRate = learningRateAt(phase.spec, network as TrainedNetwork, index);
    const options = { ...spec.optimizer, learningRate };
    applyAdam(state.networks[network], mean.subarray(start, end), options);
    updateAverage(state.networks[network], spec.ema);
  }
  updateStatistics(task, phase.definition.statistics, state, averages, spec.statisticsMomentum);
  return { isSkipped, gradientNorms };
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
 * The sum of the values' squares, in float64; finite when each of them is, and only then. Squares
 * of finite float32 values are below 2^256, so that a sum of n of them stays below n * 2^256: it
 * could leave float64's range (2^1024) with 2^768 of them, more than any memory holds. And a sum
 * that has once become infinite or NaN stays so, since no square is negative.
 */
export function sumOfSquares(values: Float32Array): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    const p = values[i];
    const q = values[i + 1];
    const r = values[i + 2];
    const s = values[i + 3];
    a += p * p;
    b += q * q;
    c += r * r;
    d += s * s;
  }
  for (let i = whole; i < values.length; i++) a += values[i] * values[i];
  return a + b + c + d;
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
