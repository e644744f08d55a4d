// The state of a run between two steps: what every worker of a world holds alike, and its order as
// one run of bytes. Its vectors stay the same objects for a worker's life, since the engine is
// bound to them; values are copied in.

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

/** The whole state; `step` updates of the run are committed in it. */
export interface TrainingState {
  step: Step;
  readonly networks: Readonly<Record<string, NetworkState>>;
  /** Steps in a row, up to this one, that were skipped: their gradients were not finite. */
  skippedInARow: number;
}

/** Memory for the state of these networks (`Task.networks`); all zeros. */
export function createState(networks: readonly NetworkSpec[]): TrainingState {
  const states = networks.map(({ name, parameters, statistics, isAveraged }) => {
    const vector = (): Float32Array => new Float32Array(floatsOf(parameters));
    const network: NetworkState = {
      parameters: vector(),
      firstMoment: vector(),
      secondMoment: vector(),
      statistics: new Float32Array(floatsOf(statistics)),
      average: isAveraged === true ? vector() : new Float32Array(0),
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
    network.average.set(source.average);
    network.updates = source.updates;
  }
  into.step = from.step;
  into.skippedInARow = from.skippedInARow;
}

/**
 * The parameters to use a network with, for samples, evaluation and models: their average where one
 * is kept.
 */
export function parametersForUse({
  parameters,
  average,
}: Pick<NetworkState, 'parameters' | 'average'>): Float32Array {
  return average.length > 0 ? average : parameters;
}

/** Floats of these tensors together. */
export function floatsOf(tensors: readonly TensorSpec[]): number {
  return tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** The vectors of a state in the order of its bytes; they share its memory. */
export function vectorsInOrder(
  networks: readonly Pick<NetworkSpec, 'name'>[],
  state: TrainingState,
): Float32Array[] {
  return networks.flatMap(({ name }) => {
    const { parameters, firstMoment, secondMoment, statistics, average } = state.networks[name];
    return [parameters, firstMoment, secondMoment, statistics, average];
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
