// What happens in a step by the plan of its phase: which networks it trains, and at which rates.
// Plain arithmetic on the number of the step, exactly rounded: all workers come to the same.

import type { Step } from '../words.js';
import type { PhaseSpec, RunSpec } from './schema.js';

/** Networks that a phase trains, by their names in `learningRate`. */
export type TrainedNetwork = 'generator' | 'discriminator';

/** What a step trains: all networks of its phase, or the discriminator alone. */
export type StepPart = 'all' | 'discriminator';

/** The number, from 0, of update number `step` within its phase. */
export function stepInPhase(spec: RunSpec, step: Step): number {
  let start = 0;
  for (const { steps } of spec.phases) {
    if (step < start + steps) return step - start;
    start += steps;
  }
  throw new Error(`step ${step} lies beyond the spec's last step ${start}`);
}

/** What step `index` of a phase trains: the generator takes part in every k-th step. */
export function partAt({ discriminatorSteps = 1 }: PhaseSpec, index: number): StepPart {
  return (index + 1) % discriminatorSteps === 0 ? 'all' : 'discriminator';
}

/** The kinds of steps that a phase has, in the order of their first ones. */
export function partsOfPhase({ discriminatorSteps = 1 }: PhaseSpec): readonly StepPart[] {
  return discriminatorSteps === 1 ? ['all'] : ['discriminator', 'all'];
}

/**
 * The learning rate of a network at step `index` of a phase: it rises in equal parts over the
 * warm-up, and is multiplied by the factor of each step in the list that has been reached.
 */
export function learningRateAt(
  { learningRate }: PhaseSpec,
  network: TrainedNetwork,
  index: number,
): number {
  const { warmUp = 0, steps = [], [network]: base } = learningRate;
  const risen = index + 1 < warmUp ? (base * (index + 1)) / warmUp : base;
  return steps.reduce((rate, { at, factor }) => (at <= index ? rate * factor : rate), risen);
}
