// A training state in this process's memory, and its update: Adam, the parameters' average, running
// statistics, as task/ops/update.ts defines them and with its bytes. Each network's vectors lie in
// a WebAssembly memory, where a kernel updates them in one pass; to everyone else they are arrays.

import { existsSync, readFileSync } from 'node:fs';
import {
  createVectors,
  floatsOf,
  type NetworkVectors,
  type StateVectors,
} from '../../shared/checkpoint/state.js';
import type { NetworkSpec } from '../../shared/layout.js';
import { OperatorError } from '../../shared/problems.js';
import type { NetworkScalars, UpdateProgram, UpdateScalars } from '../../task/ops/update.js';

/** A state in this process's memory. */
export interface HostState {
  /** Its values; the arrays stay the same objects, and graphs are bound to them. */
  readonly vectors: StateVectors;
  /** Applies a reduced vector, known to be finite; `mean` may be memory that threads share. */
  apply(update: UpdateProgram, mean: Float32Array, scalars: UpdateScalars): void;
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
    apply: (update, mean, scalars) => {
      for (const { network, gradient } of update.networks) {
        const values = mean.subarray(gradient.start, gradient.end);
        held[network].apply(values, scalars, scalars.networks[network]);
      }
      for (const { network, offset, from, size } of update.statistics) {
        const running = vectors[network].statistics.subarray(offset, offset + size);
        moveStatistics(running, mean.subarray(from, from + size), scalars);
      }
    },
  };
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
  ): void;
  follow(average: number, parameters: number, floats: number, rest: number): void;
}

/** What is used of WebAssembly: TypeScript knows it only among the browser's names. */
interface WebAssemblyTypes {
  readonly Memory: new (pages: { initial: number; maximum: number }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
}
type WasmMemory = { readonly buffer: ArrayBuffer };
const { Memory, Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyTypes })
  .WebAssembly;

const compiledFile = new URL('./assembly/update-kernel.wasm', import.meta.url);
let compiled: object | undefined;

function kernelOn(memory: WasmMemory): UpdateKernel {
  if (!existsSync(compiledFile)) throw new Error(`${compiledFile.pathname}: run npm run build`);
  compiled ??= new Module(readFileSync(compiledFile));
  return new Instance(compiled, { env: { memory } }).exports as UpdateKernel;
}

/** One network's vectors in a memory of their own, and how they are updated there. */
interface HeldNetwork {
  readonly vectors: NetworkVectors;
  apply(gradient: Float32Array, shared: UpdateScalars, own: NetworkScalars): void;
}

/** Floats of a gradient that are updated at a time: with all they concern they fit into L2. */
const blockFloats = 16 * 1024;
/** The block begins at the first or second float of its place, which ends with padding. */
const blockBytes = 4 * blockFloats + 64;
/** Of the start of a vector, in bytes: as TensorFlow wants an array that it need not copy. */
const alignment = 64;
const pageBytes = 65_536;
/** As many as WebAssembly's 32-bit addresses reach: 4 GiB. */
const mostPages = 65_536;

const multipleOf = (step: number, value: number): number => step * Math.ceil(value / step);
const alignedBytes = (floats: number): number => multipleOf(alignment, 4 * floats);

function hold(network: NetworkSpec): HeldNetwork {
  const memory = memoryFor(network);
  const block = new Float32Array(memory.buffer, 0, blockFloats + 1);
  let end = blockBytes;
  const vectors = createVectors(network, (floats) => {
    const vector = new Float32Array(memory.buffer, end, floats);
    end += alignedBytes(floats);
    return vector;
  });
  const kernel = kernelOn(memory);
  return { vectors, apply: (...given) => updateNetwork(kernel, block, vectors, ...given) };
}

function memoryFor({ name, parameters, statistics, isAveraged }: NetworkSpec): WasmMemory {
  const vectors = isAveraged === true ? 4 : 3;
  const bytes =
    blockBytes + vectors * alignedBytes(floatsOf(parameters)) + alignedBytes(floatsOf(statistics));
  const pages = Math.ceil(bytes / pageBytes);
  if (pages <= mostPages) return new Memory({ initial: pages, maximum: pages });
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
  gradient: Float32Array,
  { beta1, rest1, beta2, rest2, epsilon }: UpdateScalars,
  { rate, scale2, averageRest }: NetworkScalars,
): void {
  // V8 copies shared memory word by word where both sides lie alike in a word, else byte by byte.
  const shift = (gradient.byteOffset / 4) % 2;
  for (let at = 0; at < parameters.length; at += blockFloats) {
    const values = gradient.subarray(at, at + blockFloats);
    block.set(values, shift);
    // The last block takes some of the padding along, which nobody reads.
    const floats = multipleOf(4, values.length);
    const placeOf = ({ byteOffset }: Float32Array): number => byteOffset + 4 * at;
    const [p, m, v] = [parameters, firstMoment, secondMoment].map(placeOf);
    const g = block.byteOffset + 4 * shift;
    kernel.adam(p, m, v, g, floats, beta1, rest1, beta2, rest2, epsilon, rate, scale2);
    if (average.length > 0) kernel.follow(placeOf(average), p, floats, averageRest);
  }
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
