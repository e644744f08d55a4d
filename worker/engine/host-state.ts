// A training state in flat arrays of this process, and its update: Adam, the parameters' average,
// running statistics. Float32, each operation rounded, so that every machine gives the same bytes.

import {
  createVectors,
  type NetworkVectors,
  type StateVectors,
} from '../../shared/checkpoint/state.js';
import type { NetworkSpec } from '../../shared/layout.js';
import type { NetworkScalars, UpdateProgram, UpdateScalars } from '../../task/ops/update.js';

/** A state in this process's memory. */
export interface HostState {
  /** Its values; the arrays stay the same objects, and graphs are bound to them. */
  readonly vectors: StateVectors;
  /** Applies a reduced vector, known to be finite; `mean` may be memory that threads share. */
  apply(update: UpdateProgram, mean: Float32Array, scalars: UpdateScalars): void;
}

/** Memory for the state of these networks, all zeros. */
export function createHostState(networks: readonly NetworkSpec[]): HostState {
  const vectors: StateVectors = Object.fromEntries(
    networks.map((network) => [network.name, createVectors(network)]),
  );
  return {
    vectors,
    apply: (update, mean, scalars) => {
      for (const { network, gradient } of update.networks) {
        const values = mean.subarray(gradient.start, gradient.end);
        applyAdam(vectors[network], values, scalars, scalars.networks[network]);
      }
      for (const { network, offset, from, size } of update.statistics) {
        const running = vectors[network].statistics.subarray(offset, offset + size);
        moveStatistics(running, mean.subarray(from, from + size), scalars);
      }
    },
  };
}

const { fround } = Math;

/** Adam (Kingma and Ba, algorithm 1), and the average of the parameters where one is kept. */
function applyAdam(
  { parameters, firstMoment, secondMoment, average }: NetworkVectors,
  gradient: Float32Array,
  { beta1, rest1, beta2, rest2, epsilon }: UpdateScalars,
  { rate, scale2, averageRest }: NetworkScalars,
): void {
  for (let i = 0; i < parameters.length; i++) {
    const g = gradient[i];
    const m = fround(fround(beta1 * firstMoment[i]) + fround(rest1 * g));
    const v = fround(fround(beta2 * secondMoment[i]) + fround(fround(rest2 * g) * g));
    const root = fround(Math.sqrt(fround(v * scale2)));
    firstMoment[i] = m;
    secondMoment[i] = v;
    parameters[i] -= fround(fround(rate * m) / fround(root + epsilon));
  }
  for (let i = 0; i < average.length; i++)
    average[i] += fround(averageRest * fround(parameters[i] - average[i]));
}

/** running = momentum * running + (1 - momentum) * mean */
function moveStatistics(
  running: Float32Array,
  mean: Float32Array,
  { momentum, restMomentum }: UpdateScalars,
): void {
  for (let i = 0; i < running.length; i++)
    running[i] = fround(momentum * running[i]) + fround(restMomentum * mean[i]);
}
