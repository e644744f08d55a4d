// The state of a run between two steps: what every worker of a world holds alike. Its vectors stay
// the same objects for a worker's life, since the engine is bound to them; values are copied in.

import { sizeOf, type NetworkSpec, type TensorSpec } from '../flat/layout.js';
import type { Step } from '../words.js';

/** One network's state: parameters, Adam's moments (same layout), updates applied so far. */
export interface NetworkState {
  readonly parameters: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  readonly statistics: Float32Array;
  updates: number;
}

/** The whole state; `step` updates of the run are committed in it. */
export interface TrainingState {
  step: Step;
  readonly networks: Readonly<Record<string, NetworkState>>;
  /** Steps in a row, up to this one, that were skipped: their gradients were not finite. */
  skippedInARow: number;
}

/** Memory for the state of these networks (`Task.networks`); all zeros. */
export function createState(networks: readonly NetworkSpec[]): TrainingState {
  const states = networks.map(({ name, parameters, statistics }) => {
    const vector = (): Float32Array => new Float32Array(floatsOf(parameters));
    const network: NetworkState = {
      parameters: vector(),
      firstMoment: vector(),
      secondMoment: vector(),
      statistics: new Float32Array(floatsOf(statistics)),
      updates: 0,
    };
    return [name, network] as const;
  });
  return { step: 0, networks: Object.fromEntries(states), skippedInARow: 0 };
}

/** Copies all values of `from` into the vectors of `into`, a state of the same networks. */
export function copyState(from: TrainingState, into: TrainingState): void {
  for (const [name, network] of Object.entries(into.networks)) {
    const source = from.networks[name];
    network.parameters.set(source.parameters);
    network.firstMoment.set(source.firstMoment);
    network.secondMoment.set(source.secondMoment);
    network.statistics.set(source.statistics);
    network.updates = source.updates;
  }
  into.step = from.step;
  into.skippedInARow = from.skippedInARow;
}

/** Floats of these tensors together. */
export function floatsOf(tensors: readonly TensorSpec[]): number {
  return tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}
