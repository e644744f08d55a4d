// The update that follows a step, in TF.js ops: Adam, the average of the parameters, and running
// statistics. This is its only definition: engines that keep the state on a device trace it, and
// the kernel of those that keep it on the host is held to its bytes. Only + - * / and sqrt, each
// rounded to float32, so that every machine computes the same.

import {
  add,
  concat,
  div,
  mul,
  reshape,
  slice,
  sqrt,
  sub,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { createLayout, type NetworkSpec, type TensorSpec } from '../../shared/layout.js';
import type { Range } from '../../shared/plan/reduction.js';
import type { NamedTensors } from '../task.js';

/** What an update changes, and where in the reduced vector it finds the values for it. */
export interface UpdateProgram {
  /** The networks that are trained; their gradients lie in the layout of their parameters. */
  readonly networks: readonly { readonly network: string; readonly gradient: Range }[];
  /** Running statistics: `size` floats at `from` go to `offset` of the network's statistics. */
  readonly statistics: readonly StatisticsPlace[];
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
   * `mean` (the reduced vector), `scalars` (the update's numbers, by `scalarsOf`) and the vectors
   * of the state that change, named "<network>/<vector>" as in `StateVectors`.
   */
  readonly inputs: readonly TensorSpec[];
  /** The vectors that change, by the same names: their new values come out. */
  readonly changed: readonly TensorSpec[];
  run(inputs: NamedTensors): NamedTensors;
  /** The values of the input `scalars`. */
  scalarsOf(scalars: UpdateScalars): Float32Array;
}

/** The update of a step whose reduced vector has `floats` values; `networks` are the task's. */
export function updateFunction(
  networks: readonly NetworkSpec[],
  program: UpdateProgram,
  floats: number,
): UpdateFunction {
  const trained = program.networks.map(({ network }) => network);
  const changed = networks.flatMap((network) => changedVectors(network, program));
  const inputs = [
    { name: 'mean', shape: [floats] },
    { name: 'scalars', shape: [sharedScalars.length + trained.length * networkScalars.length] },
    ...changed,
  ];
  return {
    inputs,
    changed,
    run: (tensors) => applyUpdate(tensors, program),
    scalarsOf: (scalars) =>
      Float32Array.from([
        ...sharedScalars.map((name) => scalars[name]),
        ...trained.flatMap((name) => networkScalars.map((each) => scalars.networks[name][each])),
      ]),
  };
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
  const { mean, scalars } = tensors;
  const scalar = (index: number): Tensor => reshape(slice(scalars, [index], [1]), []);
  const shared = namedScalars(sharedScalars, scalar);
  const results: NamedTensors = {};
  program.networks.forEach(({ network, gradient: { start, end } }, i) => {
    const at = sharedScalars.length + i * networkScalars.length;
    const own = namedScalars(networkScalars, (index) => scalar(at + index));
    const g = slice(mean, [start], [end - start]);
    const before = (vector: string): Tensor => tensors[`${network}/${vector}`];
    const m = add(mul(shared.beta1, before('firstMoment')), mul(shared.rest1, g));
    const v = add(mul(shared.beta2, before('secondMoment')), mul(mul(shared.rest2, g), g));
    const scale = add(sqrt(mul(v, own.scale2)), shared.epsilon);
    const p = sub(before('parameters'), div(mul(own.rate, m), scale));
    results[`${network}/parameters`] = p;
    results[`${network}/firstMoment`] = m;
    results[`${network}/secondMoment`] = v;
    const average = before('average') as Tensor | undefined;
    if (average !== undefined)
      results[`${network}/average`] = add(average, mul(own.averageRest, sub(p, average)));
  });
  for (const [network, places] of placesByNetwork(program)) {
    const name = `${network}/statistics`;
    results[name] = updatedStatistics(tensors[name], places, mean, shared);
  }
  return results;
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
