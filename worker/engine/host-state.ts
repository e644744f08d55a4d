// A training state in this process's memory, and its update: Adam, the parameters' average, running
// statistics, as task/ops/update.ts defines them and with its bytes. Each network's vectors lie in
// a WebAssembly memory, where a kernel updates them in one pass; to everyone else they are arrays.

import {
  createVectors,
  floatsOf,
  type NetworkVectors,
  type StateVectors,
} from '../../shared/checkpoint/state.js';
import type { NetworkSpec } from '../../shared/layout.js';
import { OperatorError } from '../../shared/problems.js';
import {
  createMemory,
  instantiate,
  mostPages,
  pageBytes,
  type WasmMemory,
} from '../../shared/wasm/instance.js';
import type {
  GradientPiece,
  NetworkScalars,
  UpdateProgram,
  UpdateScalars,
} from '../../task/ops/update.js';
import type { ExchangedValues, GradientSquares, StepMeans } from './engine.js';
import { copyValues } from './factors.js';

/** What a step comes to: means, and products of gathered factors by their names. */
export interface HostResult extends StepMeans {
  readonly products: Readonly<Record<string, Float32Array>>;
}

/** A state in this process's memory. */
export interface HostState {
  /** Its values; the arrays stay the same objects, and graphs are bound to them. */
  readonly vectors: StateVectors;
  /** Applies a step's result, known to be finite; it may lie in memory that threads share. */
  apply(update: UpdateProgram, result: HostResult, scalars: UpdateScalars): GradientSquares;
}

/**
 * Memory for the state of these networks, all zeros. Throws OperatorError when a network is too
 * large for it.
 */
export function createHostState(networks: readonly NetworkSpec[]): HostState {
  const held = Object.fromEntries(networks.map((network) => [network.name, hold(network)]));
  const vectors = Object.fromEntries(networks.map(({ name }) => [name, held[name].vectors]));
  return {
    vectors,
    apply: (update, result, scalars) => {
      const squares = update.networks.map(({ network, pieces }) => {
        const own = scalars.networks[network];
        return [network, held[network].apply(piecesIn(pieces, result), scalars, own)] as const;
      });
      for (const { network, offset, from, size } of update.statistics) {
        const running = vectors[network].statistics.subarray(offset, offset + size);
        moveStatistics(running, result.exact.subarray(from, from + size), scalars);
      }
      return Object.fromEntries(squares);
    },
  };
}

/** A network's gradient: arrays one behind the other. */
type GradientValues = readonly ExchangedValues[];

function piecesIn(
  pieces: readonly GradientPiece[],
  { gradients, products }: HostResult,
): GradientValues {
  return pieces.map((piece) =>
    piece.kind === 'summed'
      ? gradients.subarray(piece.from, piece.from + piece.size)
      : products[piece.name],
  );
}

/** The functions of assembly/update-kernel.ts; places are in bytes, `floats` a multiple of 4. */
interface UpdateKernel {
  adam(
    parameters: number,
    firstMoment: number,
    secondMoment: number,
    gradient: number,
    floats: number,
    beta1: number,
    rest1: number,
    beta2: number,
    rest2: number,
    epsilon: number,
    rate: number,
    scale2: number,
  ): number;
  follow(average: number, parameters: number, floats: number, rest: number): void;
}

const kernelFile = new URL('./assembly/update-kernel.wasm', import.meta.url);

/** One network's vectors in a memory of their own, and how they are updated there. */
interface HeldNetwork {
  readonly vectors: NetworkVectors;
  /** Gives the sum of the gradient's squares. */
  apply(gradient: GradientValues, shared: UpdateScalars, own: NetworkScalars): number;
}

/** Floats of a gradient that are updated at a time: with all they concern they fit into L2. */
const blockFloats = 16 * 1024;
/** The block begins at the first or second float of its place, which ends with padding. */
const blockBytes = 4 * blockFloats + 64;
/** Of the start of a vector, in bytes: as TensorFlow wants an array that it need not copy. */
const alignment = 64;

const multipleOf = (step: number, value: number): number => step * Math.ceil(value / step);
const alignedBytes = (floats: number): number => multipleOf(alignment, 4 * floats);

function hold(network: NetworkSpec): HeldNetwork {
  const memory = memoryFor(network);
  const block = new Float32Array(memory.buffer, 0, blockBytes / 4);
  let end = blockBytes;
  const vectors = createVectors(network, (floats) => {
    const vector = new Float32Array(memory.buffer, end, floats);
    end += alignedBytes(floats);
    return vector;
  });
  const kernel = instantiate<UpdateKernel>(kernelFile, memory);
  return { vectors, apply: (...given) => updateNetwork(kernel, block, vectors, ...given) };
}

function memoryFor({ name, parameters, statistics, isAveraged }: NetworkSpec): WasmMemory {
  const vectors = isAveraged === true ? 4 : 3;
  const bytes =
    blockBytes + vectors * alignedBytes(floatsOf(parameters)) + alignedBytes(floatsOf(statistics));
  const pages = Math.ceil(bytes / pageBytes);
  if (pages <= mostPages) return createMemory(pages);
  const most = Math.floor((mostPages * pageBytes) / 4 / vectors / 1e6);
  throw new OperatorError('a network is too large to be trained on the CPU', [
    {
      key: name,
      given: `${Math.ceil(floatsOf(parameters) / 1e6)} million parameters`,
      allowed: `less than ${most} million: ${vectors} vectors of them fit into 4 GiB`,
    },
  ]);
}

/** Adam, and the parameters' average where one is kept, block by block through the kernel. */
function updateNetwork(
  kernel: UpdateKernel,
  block: Float32Array,
  { parameters, firstMoment, secondMoment, average }: NetworkVectors,
  gradient: GradientValues,
  { beta1, rest1, beta2, rest2, epsilon }: UpdateScalars,
  { rate, scale2, averageRest }: NetworkScalars,
): number {
  const fill = createFilling(gradient);
  let squares = 0;
  for (let at = 0; at < parameters.length; at += blockFloats) {
    const count = Math.min(blockFloats, parameters.length - at);
    // The last block takes some of the padding along, which nobody reads.
    const floats = multipleOf(4, count);
    const g = block.byteOffset + 4 * fill(block, count);
    const placeOf = ({ byteOffset }: Float32Array): number => byteOffset + 4 * at;
    const [p, m, v] = [parameters, firstMoment, secondMoment].map(placeOf);
    squares += kernel.adam(p, m, v, g, floats, beta1, rest1, beta2, rest2, epsilon, rate, scale2);
    if (average.length > 0) kernel.follow(placeOf(average), p, floats, averageRest);
  }
  return squares;
}

/**
 * A function that fills a block with the next `count` values of a gradient and zeros behind them,
 * from its first or second float on, and gives that place.
 */
function createFilling(gradient: GradientValues) {
  let [piece, done] = [0, 0];
  return (block: Float32Array, count: number): number => {
    // V8 copies shared memory word by word where both sides lie alike in a word, else byte by byte.
    const source = gradient[piece];
    const shift = source instanceof Float32Array ? Math.abs(source.byteOffset / 4 + done) % 2 : 0;
    for (let filled = 0; filled < count;) {
      const from = gradient[piece];
      const values = from.subarray(done, done + count - filled);
      copyValues(block.subarray(shift + filled), values);
      filled += values.length;
      done += values.length;
      if (done === from.length) [piece, done] = [piece + 1, 0];
    }
    block.fill(0, shift + count, shift + multipleOf(4, count));
    return shift;
  };
}

const { fround } = Math;

/** running = momentum * running + (1 - momentum) * mean */
function moveStatistics(
  running: Float32Array,
  mean: Float32Array,
  { momentum, restMomentum }: UpdateScalars,
): void {
  for (let i = 0; i < running.length; i++)
    running[i] = fround(momentum * running[i]) + fround(restMomentum * mean[i]);
}
