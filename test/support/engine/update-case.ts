// A small update with everything in it, its definition number by number, and how to run the update
// in TF.js ops: what kernels of an update are compared with.

import { sizeOf, type NetworkSpec } from '../../../shared/layout.js';
import type { StepShape } from '../../../shared/plan/step-vector.js';
import { createRandomStream } from '../../../shared/random.js';
import type { UpdateProgram, UpdateScalars } from '../../../task/ops/update.js';
import { updateFunction } from '../../../task/ops/update.js';
import type { NamedArrays } from './graph-parity.js';

/**
 * One network with an average and with statistics of which two are updated, one without and of
 * several blocks, and one that the step does not train; lengths are multiples of nothing.
 */
export const updatedNetworks: readonly NetworkSpec[] = [
  {
    name: 'generator',
    parameters: [
      { name: 'generator/filter', shape: [3, 3, 5, 7] },
      { name: 'generator/bias', shape: [7] },
    ],
    statistics: [5, 3, 2, 6].map((size, i) => ({ name: `generator/${i}`, shape: [size] })),
    isAveraged: true,
  },
  {
    name: 'discriminator',
    parameters: [
      { name: 'discriminator/filter', shape: [3, 3, 61, 61] },
      { name: 'discriminator/weights', shape: [13, 61] },
      { name: 'discriminator/bias', shape: [5] },
    ],
    statistics: [],
  },
  { name: 'other', parameters: [{ name: 'other/bias', shape: [3] }], statistics: [] },
];

/** Statistics lie between metrics that no update touches; one gradient is a product. */
export const updateProgram: UpdateProgram = {
  networks: [
    { network: 'generator', pieces: [{ kind: 'summed', from: 1, size: 322 }] },
    {
      network: 'discriminator',
      pieces: [
        { kind: 'summed', from: 323, size: 33_489 },
        { kind: 'product', name: 'weights', size: 793 },
        { kind: 'summed', from: 33_812, size: 5 },
      ],
    },
  ],
  statistics: [
    { network: 'generator', offset: 10, from: 3, size: 6 },
    { network: 'generator', offset: 5, from: 9, size: 3 },
  ],
  products: [{ name: 'weights', rows: 6, left: 13, right: 61 }],
};

/** Of a micro-shard; there are two. */
export const updateShape: StepShape = { exact: 13, gradients: 33_817, factors: 3 * (13 + 61) };

/** What a step comes to. */
export type UpdateResult = Readonly<Record<'exact' | 'gradients' | 'weights', Float32Array>>;

/** A result of `value`s by their places. */
export function resultOf(value: (i: number) => number): UpdateResult {
  const { exact, gradients } = updateShape;
  const vector = (length: number, from: number): Float32Array =>
    Float32Array.from({ length }, (_, i) => value(from + i));
  return {
    exact: vector(exact, 0),
    gradients: vector(gradients, exact),
    weights: vector(13 * 61, exact + gradients),
  };
}

const f = Math.fround;

/** Of update number `n`, with the usual constants. */
export function scalarsOfUpdate(n: number): UpdateScalars {
  const own = { rate: f(1e-3 / n), scale2: f(1 / (n * 0.001)), averageRest: f(1 / (10 + n)) };
  return {
    ...{ beta1: f(0.9), rest1: f(0.1), beta2: f(0.999), rest2: f(0.001), epsilon: f(1e-8) },
    ...{ momentum: f(0.9), restMomentum: f(0.1) },
    networks: { generator: own, discriminator: { ...own, rate: f(2e-4) } },
  };
}

/** The vectors that change, by name, with values from a seed; second moments are not negative. */
export function updateInputs(seed: number): NamedArrays {
  const stream = createRandomStream(seed);
  const { changed } = updateFunction(updatedNetworks, updateProgram, updateShape);
  const inputs: NamedArrays = {};
  for (const { name, shape } of changed) {
    const least = name.endsWith('/secondMoment') ? 0 : -1;
    inputs[name] = Float32Array.from({ length: sizeOf(shape) }, () =>
      Math.max(least, 2 * stream.uniform() - 1),
    );
  }
  return inputs;
}

/** The same update from the definition, value by value; new arrays, of the state alone. */
export function updatedByDefinition(
  state: NamedArrays,
  result: UpdateResult,
  scalars: UpdateScalars,
): NamedArrays {
  const results = Object.fromEntries(Object.entries(state).map(([k, v]) => [k, v.slice()]));
  const { beta1, rest1, beta2, rest2, epsilon, momentum, restMomentum } = scalars;
  for (const { network, pieces } of updateProgram.networks) {
    const gradient = pieces.flatMap((piece) =>
      piece.kind === 'product'
        ? [...result.weights]
        : [...result.gradients.subarray(piece.from, piece.from + piece.size)],
    );
    const { rate, scale2, averageRest } = scalars.networks[network];
    const [p, m, v, average] = ['parameters', 'firstMoment', 'secondMoment', 'average'].map(
      (vector) => results[`${network}/${vector}`] as Float32Array | undefined,
    ) as [Float32Array, Float32Array, Float32Array, Float32Array | undefined];
    for (let i = 0; i < p.length; i++) {
      const g = gradient[i];
      m[i] = f(f(beta1 * m[i]) + f(rest1 * g));
      v[i] = f(f(beta2 * v[i]) + f(f(rest2 * g) * g));
      const scale = f(f(Math.sqrt(f(v[i] * scale2))) + epsilon);
      p[i] = f(p[i] - f(f(rate * m[i]) / scale));
      if (average !== undefined) average[i] = f(average[i] + f(averageRest * f(p[i] - average[i])));
    }
  }
  for (const { network, offset, from, size } of updateProgram.statistics) {
    const running = results[`${network}/statistics`];
    for (let i = offset; i < offset + size; i++)
      running[i] = f(f(momentum * running[i]) + f(restMomentum * result.exact[from + i - offset]));
  }
  return results;
}
