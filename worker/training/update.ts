// Commits a reduced step: whether it may be applied, the counters, and the numbers of the update
// that the engine applies. Replicated: every worker does the same arithmetic on the same bytes, so
// all hold the same state; only + - * / and sqrt, which are exactly rounded everywhere.

import type { Counters } from '../../shared/checkpoint/state.js';
import { learningRateAt, stepInPhase, type TrainedNetwork } from '../../shared/spec/schedule.js';
import type { PhaseSpec, RunSpec } from '../../shared/spec/schema.js';
import type { NetworkScalars, UpdateScalars } from '../../task/ops/update.js';
import { factorNames } from '../../trace/factors.js';
import type { StepMeans } from '../engine/engine.js';
import type { Phase } from './phase.js';
import type { StepPlan } from './step-plan.js';

const { fround } = Math;

/** So many skipped steps in a row end the training: better ones will not come. */
const maxSkippedInARow = 10;

/** What became of a step. */
export interface Committed {
  /** What is counted now. */
  readonly counters: Counters;
  /** Whether it changed nothing but the number of the step. */
  readonly isSkipped: boolean;
  /** L2 norm of each trained network's mean gradient; NaN when it was skipped. */
  readonly gradientNorms: ReadonlyMap<string, number>;
}

/**
 * Commits one step: `means` are averages over micro-shards, and the phase has multiplied the
 * factors. When a micro-shard had values that are not finite the step is skipped: it counts, and
 * changes nothing else.
 */
export async function commitStep(
  spec: RunSpec,
  phase: Phase,
  before: Counters,
  means: StepMeans,
): Promise<Committed> {
  const { trains } = phase.definition;
  const isSkipped = means.exact[phase.vector.notFinite] > 0;
  const counters = countStep(before, trains, isSkipped);
  const normsOf = (squareOf: (network: string) => number): Map<string, number> =>
    new Map(trains.map((name) => [name, Math.sqrt(squareOf(name))]));
  if (isSkipped) return { counters, isSkipped, gradientNorms: normsOf(() => NaN) };
  const index = stepInPhase(spec, before.step);
  const numbers = trains.map((name) => [name, counters.updates[name]] as const);
  const scalars = updateScalars(spec, phase.spec, index, Object.fromEntries(numbers));
  const squares = await phase.apply(means, scalars);
  return { counters, isSkipped, gradientNorms: normsOf((name) => squares[name]) };
}

function countStep(
  { step, skippedInARow, updates }: Counters,
  trained: readonly string[],
  isSkipped: boolean,
): Counters {
  if (isSkipped) return { step: step + 1, skippedInARow: skippedInARow + 1, updates };
  const updated = trained.map((network) => [network, (updates[network] ?? 0) + 1] as const);
  const counts = { ...updates, ...Object.fromEntries(updated) };
  return { step: step + 1, skippedInARow: 0, updates: counts };
}

/** Why a run can't go on from this state; empty when it can. The same on all workers. */
export function troubleOf({ step, skippedInARow }: Counters): string {
  if (skippedInARow < maxSkippedInARow) return '';
  return (
    `the gradients of ${skippedInARow} steps in a row were not finite ` +
    `(steps ${step - skippedInARow + 1} to ${step}): lower the learning rate or look at the data`
  );
}

/** Largest float32. */
const largest = 2 ** 128 - 2 ** 104;

/**
 * Whether sums over a step's micro-shards can overflow by what this one adds: its values are not
 * finite or so large that `microShards` of them might leave float32. `squares` is the sum of the
 * squares of its gradients; for a product, the bound is that of its factors, multiplied. Each
 * factor has the bound as well: the largest finite values become infinite where they are rounded
 * to bfloat16, and infinity times zero is NaN.
 */
export function mayOverflow(
  { vector: { layout, statistics }, update }: StepPlan,
  values: Float32Array,
  squares: number,
  microShards: number,
): boolean {
  const sums = [
    squares,
    sumOfSquares(values.subarray(statistics.start, statistics.end)),
    ...update.products.flatMap(({ name }) => {
      const [x, y] = factorNames(name).map((factor) => {
        const { offset, size } = layout.slices.find((slice) => slice.name === factor)!;
        return sumOfSquares(values.subarray(offset, offset + size));
      });
      return [x, y, x * y];
    }),
  ];
  const least = (largest / (2 * microShards)) ** 2;
  return !sums.every((sum) => sum < least);
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

/**
 * The numbers of the update at step `index` of a phase, computed in double precision and rounded to
 * float32. `updates` are those of each trained network, this one included. Adam is Kingma and Ba's
 * algorithm 1. The average keeps a share d of itself: `ema`, or less at first, (1 + n) / (10 + n),
 * as in TensorFlow's ExponentialMovingAverage, so that it forgets the initial parameters soon.
 */
export function updateScalars(
  { optimizer, ema, statisticsMomentum }: RunSpec,
  phase: PhaseSpec,
  index: number,
  updates: Readonly<Record<string, number>>,
): UpdateScalars {
  const { beta1, beta2, epsilon } = optimizer;
  const ofNetwork = (network: string, n: number): NetworkScalars => {
    const learningRate = learningRateAt(phase, network as TrainedNetwork, index);
    return {
      rate: fround(learningRate / (1 - integerPower(beta1, n))),
      scale2: fround(1 / (1 - integerPower(beta2, n))),
      averageRest: fround(1 - Math.min(ema, (1 + n) / (10 + n))),
    };
  };
  return {
    beta1: fround(beta1),
    rest1: fround(1 - beta1),
    beta2: fround(beta2),
    rest2: fround(1 - beta2),
    epsilon: fround(epsilon),
    networks: Object.fromEntries(
      Object.entries(updates).map(([network, n]) => [network, ofNetwork(network, n)]),
    ),
    momentum: fround(statisticsMomentum),
    restMomentum: fround(1 - statisticsMomentum),
  };
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
