// The update that follows a step, in TF.js ops: Adam, the average of the parameters, and running
// statistics. This is its only definition: engines that keep the state on a device trace it, and
// the kernel of those that keep it on the host is held to its bytes. Only + - * / and sqrt, each
// rounded to float32, so that every machine computes the same; and products of gathered factors.

import {
  add,
  concat,
  div,
  matMul,
  mul,
  reshape,
  slice,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { createLayout, type NetworkSpec, type TensorSpec } from '../../shared/layout.js';
import type { StepShape } from '../../shared/plan/step-vector.js';
import { factorNames } from '../../trace/factors.js';
import type { NamedTensors } from '../task.js';

/** What an update changes, and where in a step's result it finds the values for it. */
export interface UpdateProgram {
  /** The networks that are trained. */
  readonly networks: readonly TrainedGradient[];
  /** Running statistics: `size` floats at `from` of the exact section go to `offset` of them. */
  readonly statistics: readonly StatisticsPlace[];
  /** The gradients that are products of gathered factors. */
  readonly products: readonly GradientProduct[];
}

/** A network's gradient in pieces, one behind the other in the layout of its parameters. */
export interface TrainedGradient {
  readonly network: string;
  readonly pieces: readonly GradientPiece[];
}

/** Floats at `from` of the section of gradients, or all of a product. */
export type GradientPiece =
  | { readonly kind: 'summed'; readonly from: number; readonly size: number }
  | { readonly kind: 'product'; readonly name: string; readonly size: number };

/** The mean over all leaves of X^T Y, with X [rows, left] and Y [rows, right] of each leaf. */
export interface GradientProduct {
  readonly name: string;
  /** Of all leaves, one behind the other. */
  readonly rows: number;
  readonly left: number;
  readonly right: number;
}

interface StatisticsPlace {
  readonly network: string;
  readonly offset: number;
  readonly from: number;
  readonly size: number;
}

/** The numbers of one update: float32 values, the same on every worker. */
export interface UpdateScalars {
  readonly beta1: number;
  /** 1 - beta1; `rest2` is 1 - beta2. */
  readonly rest1: number;
  readonly beta2: number;
  readonly rest2: number;
  readonly epsilon: number;
  /** Of the running statistics: what is kept of them, and 1 less that. */
  readonly momentum: number;
  readonly restMomentum: number;
  /** By trained network. */
  readonly networks: Readonly<Record<string, NetworkScalars>>;
}

/** The numbers of one network's update number n. */
export interface NetworkScalars {
  /** learning rate / (1 - beta1^n) */
  readonly rate: number;
  /** 1 / (1 - beta2^n) */
  readonly scale2: number;
  /** How far the average goes towards the parameters. */
  readonly averageRest: number;
}

/** The scalars that all networks share, and those of one network, in the order of their vector. */
const sharedScalars = [
  ...(['beta1', 'rest1', 'beta2', 'rest2', 'epsilon'] as const),
  ...(['momentum', 'restMomentum'] as const),
] as const;
const networkScalars = ['rate', 'scale2', 'averageRest'] as const;

/** An update as a function that an engine can trace. */
export interface UpdateFunction {
  /**
   * `exact` and `gradients` (sections of the step's result), `scalars` (the update's numbers, by
   * `scalarsOf`), each product by its name, and the vectors of the state that change, named
   * "<network>/<vector>" as in `StateVectors`.
   */
  readonly inputs: readonly TensorSpec[];
  /** The vectors that change, by the same names: their new values come out. */
  readonly changed: readonly TensorSpec[];
  /** What comes out as well: the sum of the squares of each trained network's gradient. */
  readonly squares: readonly TensorSpec[];
  run(inputs: NamedTensors): NamedTensors;
  /** The sums of squares by network. */
  squaresOf(outputs: Readonly<Record<string, Float32Array>>): Record<string, number>;
  /** The values of the input `scalars`. */
  scalarsOf(scalars: UpdateScalars): Float32Array;
}

/** The update of a step with such sections; `networks` are the task's. */
export function updateFunction(
  networks: readonly NetworkSpec[],
  program: UpdateProgram,
  { exact, gradients }: Pick<StepShape, 'exact' | 'gradients'>,
): UpdateFunction {
  const trained = program.networks.map(({ network }) => network);
  const changed = networks.flatMap((network) => changedVectors(network, program));
  const inputs = [
    { name: 'exact', shape: [exact] },
    { name: 'gradients', shape: [gradients] },
    { name: 'scalars', shape: [sharedScalars.length + trained.length * networkScalars.length] },
    ...program.products.map(({ name, left, right }) => ({ name, shape: [left, right] })),
    ...changed,
  ];
  return {
    inputs,
    changed,
    squares: trained.map((network) => ({ name: squaresName(network), shape: [] })),
    run: (tensors) => applyUpdate(tensors, program),
    squaresOf: (outputs) =>
      Object.fromEntries(trained.map((network) => [network, outputs[squaresName(network)][0]])),
    scalarsOf: (scalars) =>
      Float32Array.from([
        ...sharedScalars.map((name) => scalars[name]),
        ...trained.flatMap((name) => networkScalars.map((each) => scalars.networks[name][each])),
      ]),
  };
}

/** The output with the sum of the squares of a network's gradient. */
function squaresName(network: string): string {
  return `${network}/squares`;
}

/** The products of an update as a function that an engine can trace: factors in, means out. */
export function productsFunction(products: readonly GradientProduct[], leaves: number) {
  const inputs = products.flatMap(({ name, rows, left, right }) => {
    const [x, y] = factorNames(name);
    return [
      { name: x, shape: [rows, left] },
      { name: y, shape: [rows, right] },
    ];
  });
  // Scaled where it costs least; it is the same on every engine.
  const share = Math.fround(1 / leaves);
  const run = (tensors: NamedTensors): NamedTensors => {
    const results = products.map(({ name }) => {
      const [x, y] = factorNames(name).map((factor) => tensors[factor]);
      return [name, matMul(x, mul(y, share), true)] as const;
    });
    return Object.fromEntries(results);
  };
  const outputs = products.map(({ name, left, right }) => ({ name, shape: [left, right] }));
  return { inputs, outputs, run };
}

function changedVectors(network: NetworkSpec, program: UpdateProgram): TensorSpec[] {
  const { name, isAveraged } = network;
  const vector = (vector: string, tensors: readonly TensorSpec[]): TensorSpec => {
    return { name: `${name}/${vector}`, shape: [createLayout(tensors).size] };
  };
  const isTrained = program.networks.some((trained) => trained.network === name);
  const moved = ['parameters', 'firstMoment', 'secondMoment'];
  const names = [...(isTrained ? moved : []), ...(isTrained && isAveraged ? ['average'] : [])];
  const hasStatistics = program.statistics.some((place) => place.network === name);
  return [
    ...names.map((each) => vector(each, network.parameters)),
    ...(hasStatistics ? [vector('statistics', network.statistics)] : []),
  ];
}

/**
 * One update (`UpdateFunction.run`): for each trained network Adam (Kingma and Ba, "Adam",
 * algorithm 1) and, where it is there, the average of the parameters; then the running statistics.
 */
function applyUpdate(tensors: NamedTensors, program: UpdateProgram): NamedTensors {
  const { exact, scalars } = tensors;
  const scalar = (index: number): Tensor => reshape(slice(scalars, [index], [1]), []);
  const shared = namedScalars(sharedScalars, scalar);
  const results: NamedTensors = {};
  program.networks.forEach(({ network, pieces }, i) => {
    const at = sharedScalars.length + i * networkScalars.length;
    const own = namedScalars(networkScalars, (index) => scalar(at + index));
    const g = gradientOf(pieces, tensors);
    const before = (vector: string): Tensor => tensors[`${network}/${vector}`];
    const m = add(mul(shared.beta1, before('firstMoment')), mul(shared.rest1, g));
    const v = add(mul(shared.beta2, before('secondMoment')), mul(mul(shared.rest2, g), g));
    const scale = add(sqrt(mul(v, own.scale2)), shared.epsilon);
    const p = sub(before('parameters'), div(mul(own.rate, m), scale));
    results[`${network}/parameters`] = p;
    results[`${network}/firstMoment`] = m;
    results[`${network}/secondMoment`] = v;
    results[squaresName(network)] = sum(square(g));
    const average = before('average') as Tensor | undefined;
    if (average !== undefined)
      results[`${network}/average`] = add(average, mul(own.averageRest, sub(p, average)));
  });
  for (const [network, places] of placesByNetwork(program)) {
    const name = `${network}/statistics`;
    results[name] = updatedStatistics(tensors[name], places, exact, shared);
  }
  return results;
}

/** A network's gradient as one vector. */
function gradientOf(pieces: readonly GradientPiece[], tensors: NamedTensors): Tensor {
  const parts = pieces.map((piece) =>
    piece.kind === 'summed'
      ? slice(tensors['gradients'], [piece.from], [piece.size])
      : reshape(tensors[piece.name], [piece.size]),
  );
  return parts.length === 1 ? parts[0] : concat(parts, 0);
}

function namedScalars<Name extends string>(
  names: readonly Name[],
  scalar: (index: number) => Tensor,
): Record<Name, Tensor> {
  const entries = names.map((name, index) => [name, scalar(index)] as const);
  return Object.fromEntries(entries) as Record<Name, Tensor>;
}

/** The places of each network, in the order of its statistics. */
function placesByNetwork({ statistics }: UpdateProgram): Map<string, StatisticsPlace[]> {
  const places = new Map<string, StatisticsPlace[]>();
  for (const place of [...statistics].sort((a, b) => a.offset - b.offset))
    places.set(place.network, [...(places.get(place.network) ?? []), place]);
  return places;
}

/** running = momentum * running + (1 - momentum) * mean, where the step has a mean for it. */
function updatedStatistics(
  running: Tensor,
  places: readonly StatisticsPlace[],
  mean: Tensor,
  { momentum, restMomentum }: Record<'momentum' | 'restMomentum', Tensor>,
): Tensor {
  const pieces: Tensor[] = [];
  let done = 0;
  const keepUntil = (offset: number): void => {
    if (offset > done) pieces.push(slice(running, [done], [offset - done]));
  };
  for (const { offset, from, size } of places) {
    keepUntil(offset);
    const [old, found] = [slice(running, [offset], [size]), slice(mean, [from], [size])];
    pieces.push(add(mul(momentum, old), mul(restMomentum, found)));
    done = offset + size;
  }
  keepUntil(running.size);
  return concat(pieces, 0);
}
