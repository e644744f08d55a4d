// Sums over a state. SHA-256 of the parameters names a state to the outside. A fast digest, by
// which workers find out that they hold the same bytes, guards against broken memory and bugs only.

import { createHash, type Hash } from 'node:crypto';
import type { NetworkSpec } from '../layout.js';
import type { Step } from '../words.js';
import { createMemory, instantiate } from '../wasm/instance.js';
import { countersOf, vectorsInOrder, type Counters, type TrainingState } from './state.js';

const sliceBytes = 4 * 1024 * 1024;

/**
 * SHA-256, in hexadecimal, over the parameters' bytes (float32, little-endian) of all networks,
 * given in the order of `Task.networks`.
 */
export function parametersSha256(networks: readonly Float32Array[]): string {
  const hash = createHash('sha256');
  for (const parameters of networks) updateHash(hash, parameters);
  return hash.digest('hex');
}

// Memory shared with another thread is copied slice by slice: hashes may refuse it.
function updateHash(hash: Hash, values: Float32Array): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const isShared = values.buffer instanceof SharedArrayBuffer;
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    const slice = bytes.subarray(at, at + sliceBytes);
    hash.update(isShared ? Uint8Array.from(slice) : slice);
  }
}

// The rounds are those of xxHash32 (Y. Collet): a round is a bijection of the lane for a given
// word and of the word for a given lane, and so is the end of each lane. Hence a change to one
// word always changes the digest; other changes go unnoticed once in 2^64.
const prime1 = 0x9e3779b1 | 0;
const prime2 = 0x85ebca77 | 0;
const prime3 = 0xc2b2ae3d | 0;

/** Floats that the rolling digest takes in after each step, at most. */
const windowFloats = 2 ** 20;

/** Four lanes, each a word, computed side by side. */
type Lanes = Int32Array;

/** A digest of the whole state, which is given its vectors in their order, piece by piece. */
export interface StateDigest {
  /** Takes in a piece: a multiple of 4 floats unless it is the last of its vector. */
  take(piece: Float32Array): void;
  /** Of all that was taken in: 16 hexadecimal digits. */
  value(): string;
}

/** Begins the digest of a state of these networks, its step and counts included. */
export function createStateDigest(
  networks: readonly Pick<NetworkSpec, 'name'>[],
  { step, skippedInARow, updates }: Counters,
): StateDigest {
  const lanes = seedLanes([step, skippedInARow, ...networks.map(({ name }) => updates[name] ?? 0)]);
  return {
    take: (piece) => absorb(lanes, wordsOf(piece)),
    value: () => finish(lanes).map(hex).join(''),
  };
}

/** The digest of a state that lies in memory. */
export function stateDigest(
  networks: readonly Pick<NetworkSpec, 'name'>[],
  state: TrainingState,
): string {
  const digest = createStateDigest(networks, countersOf(state));
  for (const vector of vectorsInOrder(networks, state)) digest.take(vector);
  return digest.value();
}

/** A digest that is carried from step to step, a piece of the state each. */
export interface RollingDigest {
  /** Takes in the piece that is due after `step`; the value so far. */
  advance(step: Step): Promise<string>;
}

/** Reads floats [start, end) of a state's vectors (`vectorsInOrder`), one behind the other. */
export type ReadRange = (start: number, end: number) => Promise<readonly Float32Array[]>;

/**
 * Creates a rolling digest of a state of so many floats. The piece moves on with the step, so that
 * everything is looked at within `ceil(floats / windowFloats)` steps. What differed once shows in
 * all later values.
 */
export function createRollingDigest(
  floats: number,
  readRange: ReadRange,
  window = windowFloats,
): RollingDigest {
  const windows = Math.max(1, Math.ceil(floats / window));
  let previous: readonly number[] = [];
  return {
    advance: async (step) => {
      const start = (step % windows) * window;
      const lanes = seedLanes(previous);
      const pieces = await readRange(start, Math.min(floats, start + window));
      for (const piece of pieces) absorb(lanes, wordsOf(piece));
      previous = finish(lanes);
      return previous.map(hex).join('');
    },
  };
}

function wordsOf({ buffer, byteOffset, length }: Float32Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length);
}

/** Lanes that depend on whole numbers of up to 53 bits. */
function seedLanes(numbers: readonly number[]): Lanes {
  const lanes = Int32Array.of(prime1, prime2, prime3, 1);
  const words = numbers.flatMap((value) => [value % 2 ** 32, Math.floor(value / 2 ** 32)]);
  absorb(lanes, Uint32Array.from(words));
  return lanes;
}

function round(lane: number, word: number): number {
  const sum = (lane + Math.imul(word, prime2)) | 0;
  return Math.imul((sum << 13) | (sum >>> 19), prime1);
}

/** The function of assembly/digest-kernel.ts; places and lengths are in bytes. */
interface DigestKernel {
  absorb(lanes: number, words: number, bytes: number): void;
}

/** Words that the kernel takes at a time; they fit into the processor's first cache. */
const blockWords = 4096;
/** The lanes lie at the start of the kernel's memory, the block behind them. */
const blockPlace = 64;
const memory = createMemory(1);
const heldLanes = new Int32Array(memory.buffer, 0, 4);
const block = new Uint32Array(memory.buffer, blockPlace, blockWords);
let kernel: DigestKernel | undefined;

function kernelOnMemory(): DigestKernel {
  const file = new URL('./assembly/digest-kernel.wasm', import.meta.url);
  return (kernel ??= instantiate<DigestKernel>(file, memory));
}

/** Takes words in, four at a time, one for each lane; what is left over goes to the first lanes. */
function absorb(lanes: Lanes, words: Uint32Array): void {
  const whole = words.length - (words.length % 4);
  if (whole > 0) {
    const kernel = kernelOnMemory();
    heldLanes.set(lanes);
    for (let at = 0; at < whole; at += blockWords) {
      const given = words.subarray(at, Math.min(at + blockWords, whole));
      block.set(given);
      kernel.absorb(0, blockPlace, given.byteLength);
    }
    lanes.set(heldLanes);
  }
  for (let i = whole; i < words.length; i++) lanes[i - whole] = round(lanes[i - whole], words[i]);
}

/** Joins the lanes; each half depends on all four, and no change to one lane is lost. */
function finish([a, b, c, d]: Lanes): [number, number] {
  let high = mix(round(mix(a), b));
  let low = mix(round(mix(c), d));
  low ^= mix((high + prime3) | 0);
  high ^= mix((low + prime1) | 0);
  return [high >>> 0, low >>> 0];
}

/** The last mixing of xxHash32, a bijection. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 15), prime2);
  h = Math.imul(h ^ (h >>> 13), prime3);
  return h ^ (h >>> 16);
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}
