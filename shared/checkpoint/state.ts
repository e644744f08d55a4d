// The state of a run between two steps: what every worker of a world holds alike, and its order as
// one run of bytes. The values are an engine's to keep while it trains; its counters are not.

import { sizeOf, type NetworkSpec, type TensorSpec } from '../layout.js';
import type { Step } from '../words.js';

/** One network's values: parameters, Adam's moments (same layout), running statistics. */
export interface NetworkVectors {
  readonly parameters: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  readonly statistics: Float32Array;
  /** The parameters averaged over the updates, in their layout; empty where none is kept. */
  readonly average: Float32Array;
}

/** All values of a state, by network. */
export type StateVectors = Readonly<Record<string, NetworkVectors>>;

/** One network's state: its values, and the updates applied to them so far. */
export interface NetworkState extends NetworkVectors {
  updates: number;
}

/** What is counted beside the values. */
export interface Counters {
  /** Steps of the run that are committed. */
  readonly step: Step;
  /** Steps in a row, up to this one, that were skipped: their gradients were not finite. */
  readonly skippedInARow: number;
  /** Updates applied so far, by network. */
  readonly updates: Readonly<Record<string, number>>;
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
  const states = networks.map((network) => [
    network.name,
    { ...createVectors(network), updates: 0 },
  ]);
  return { step: 0, networks: Object.fromEntries(states), skippedInARow: 0 };
}

/** Memory for the values of a network, all zeros; `allocate` gives so many floats. */
export function createVectors(
  { parameters, statistics, isAveraged }: NetworkSpec,
  allocate = (floats: number) => new Float32Array(floats),
): NetworkVectors {
  const vector = (): Float32Array => allocate(floatsOf(parameters));
  return {
    parameters: vector(),
    firstMoment: vector(),
    secondMoment: vector(),
    statistics: allocate(floatsOf(statistics)),
    average: isAveraged === true ? vector() : allocate(0),
  };
}

/** Copies all values of `from` into the vectors of `into`, those of the same networks. */
export function copyVectors(from: StateVectors, into: StateVectors): void {
  for (const [name, network] of Object.entries(into)) {
    network.parameters.set(from[name].parameters);
    network.firstMoment.set(from[name].firstMoment);
    network.secondMoment.set(from[name].secondMoment);
    network.statistics.set(from[name].statistics);
    network.average.set(from[name].average);
  }
}

/** A state of these counters and values, which it shares. */
export function stateOf(counters: Counters, vectors: StateVectors): TrainingState {
  const { step, skippedInARow, updates } = counters;
  const networks = Object.entries(vectors).map(([name, network]) => {
    return [name, { ...network, updates: updates[name] ?? 0 }] as const;
  });
  return { step, networks: Object.fromEntries(networks), skippedInARow };
}

/** What is counted in a state. */
export function countersOf({ step, skippedInARow, networks }: TrainingState): Counters {
  const updates = Object.entries(networks).map(([name, { updates }]) => [name, updates] as const);
  return { step, skippedInARow, updates: Object.fromEntries(updates) };
}

/**
 * The parameters to use a network with, for samples, evaluation and models: their average where one
 * is kept.
 */
export function parametersForUse({
  parameters,
  average,
}: Pick<NetworkVectors, 'parameters' | 'average'>): Float32Array {
  return average.length > 0 ? average : parameters;
}

/** Floats of these tensors together. */
export function floatsOf(tensors: readonly TensorSpec[]): number {
  return tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** Floats in all the vectors of these networks' state. */
export function floatsOfState(networks: readonly NetworkSpec[]): number {
  return networks.reduce((sum, { parameters, statistics, isAveraged }) => {
    const perParameter = isAveraged === true ? 4 : 3;
    return sum + perParameter * floatsOf(parameters) + floatsOf(statistics);
  }, 0);
}

/** The vectors of a state in the order of its bytes; they share its memory. */
export function vectorsInOrder(
  networks: readonly Pick<NetworkSpec, 'name'>[],
  state: { readonly networks: StateVectors },
): Float32Array[] {
  return networks.flatMap(({ name }) => {
    const { parameters, firstMoment, secondMoment, statistics, average } = state.networks[name];
    return [parameters, firstMoment, secondMoment, statistics, average];
  });
}

/** A vector of a state, and its place among the floats of `vectorsInOrder`. */
export interface VectorPlace {
  readonly network: string;
  readonly vector: keyof NetworkVectors;
  readonly start: number;
  readonly end: number;
}

/** The places of all vectors of a state of these networks, in their order. */
export function vectorPlaces(networks: readonly NetworkSpec[]): VectorPlace[] {
  let end = 0;
  return networks.flatMap(({ name: network, parameters, statistics, isAveraged }) => {
    const floats = floatsOf(parameters);
    const sizes = [
      ['parameters', floats],
      ['firstMoment', floats],
      ['secondMoment', floats],
      ['statistics', floatsOf(statistics)],
      ['average', isAveraged === true ? floats : 0],
    ] as const;
    return sizes.map(([vector, size]): VectorPlace => {
      return { network, vector, start: end, end: (end += size) };
    });
  });
}

/** The vectors that are not empty, in the order of the state's bytes, as "<network>/<vector>". */
export function namedVectors(values: StateVectors): (readonly [string, Float32Array])[] {
  return Object.entries(values).flatMap(([network, vectors]) =>
    Object.entries(vectors as Readonly<Record<keyof NetworkVectors, Float32Array>>)
      .filter(([, vector]) => vector.length > 0)
      .map(([name, vector]) => [`${network}/${name}`, vector] as const),
  );
}

/** What lies in floats [start, end) of the vectors, one behind the other; shares their memory. */
export function floatsIn(
  vectors: readonly Float32Array[],
  start: number,
  end: number,
): Float32Array[] {
  let at = 0;
  return vectors.map((vector) => {
    const [from, to] = [start - at, end - at];
    at += vector.length;
    return vector.subarray(Math.max(0, from), Math.max(0, Math.min(to, vector.length)));
  });
}

/** Bytes of these vectors together. */
export function bytesOf(vectors: readonly Float32Array[]): number {
  return vectors.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** A copy of the bytes from `offset` on: `maxBytes`, or fewer when the state ends before. */
export function readBytes(
  vectors: readonly Float32Array[],
  offset: number,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  const end = Math.min(offset + maxBytes, bytesOf(vectors));
  const bytes = new Uint8Array(Math.max(0, end - offset));
  visit(vectors, offset, end, (part, at) => bytes.set(part, at));
  return bytes;
}

/** Writes bytes at `offset`; throws, and writes nothing, when they reach beyond the end. */
export function writeBytes(
  vectors: readonly Float32Array[],
  offset: number,
  bytes: Uint8Array,
): void {
  const end = offset + bytes.length;
  if (end > bytesOf(vectors)) throw new Error('more bytes than the state has');
  visit(vectors, offset, end, (part, at) => part.set(bytes.subarray(at, at + part.length)));
}

/** Calls `take` with the piece of each vector that lies in [offset, end), and its place there. */
function visit(
  vectors: readonly Float32Array[],
  offset: number,
  end: number,
  take: (part: Uint8Array, at: number) => void,
): void {
  let start = 0;
  for (const { buffer, byteOffset, byteLength } of vectors) {
    const [from, to] = [Math.max(offset, start), Math.min(end, start + byteLength)];
    if (from < to)
      take(new Uint8Array(buffer, byteOffset + from - start, to - from), from - offset);
    start += byteLength;
  }
}
