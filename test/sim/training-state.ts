// What the simulated workers train: a few float32 values and a digest that depends on every bit
// that was ever applied. A contribution depends on all that the protocol pins (state, step, leaf,
// samples), and its size varies so much that another order of additions gives other bytes.

import { createHash } from 'node:crypto';

import { hashIntegers } from '../../shared/random.js';
import type { SamplePick } from '../../shared/plan/samples.js';

/** What one chunk of the vector carries: a gradient and the vote to halt. */
export interface ChunkValue {
  readonly sum: number;
  readonly vote: number;
}

/** A state after `step` steps. Never changed in place: a copy is a reference. */
export interface TrainingState {
  readonly step: number;
  readonly digest: string;
  /** One for each chunk. */
  readonly values: readonly number[];
}

/** What does not change during a run. */
export interface RunShape {
  readonly seed: number;
  readonly samples: number;
  readonly microShards: number;
  readonly microShardSize: number;
  /** Chunks that are summed. */
  readonly chunks: number;
  /** Chunks that are gathered of each leaf. */
  readonly factorChunks: number;
  readonly lastStep: number;
  readonly checkpointEvery: number;
}

/** The state before the first step. */
export function seedState({ seed, chunks }: RunShape): TrainingState {
  const values = Array.from({ length: chunks }, (_, chunk) => spread(hashIntegers(seed, chunk, 1)));
  return { step: 0, digest: mix(0, 0, seed, 7), values };
}

/** The gradient of one micro-shard in one chunk; behind the chunks that are summed, a factor. */
export function leafValue(
  state: TrainingState,
  leaf: number,
  picks: readonly SamplePick[],
  chunk: number,
): number {
  const [high, low] = halves(state.digest);
  let hash = hashIntegers(high, low, state.step, leaf, chunk, bitsOf(state.values[chunk] ?? 0));
  for (const { sample, epoch } of picks) hash = hashIntegers(hash, sample, epoch);
  return spread(hash);
}

export function add(left: ChunkValue, right: ChunkValue): ChunkValue {
  return { sum: Math.fround(left.sum + right.sum), vote: left.vote + right.vote };
}

/** The mean over the micro-shards. */
export function scale(root: ChunkValue, microShards: number): ChunkValue {
  return { sum: Math.fround(root.sum * Math.fround(1 / microShards)), vote: root.vote };
}

/** The state after one more step; `factors` are those of all leaves, in leaf order. */
export function applyStep(
  state: TrainingState,
  mean: readonly number[],
  factors: readonly number[],
): TrainingState {
  let [high, low] = halves(state.digest);
  for (const [i, factor] of factors.entries()) high = hashIntegers(high, bitsOf(factor), i);
  const values = state.values.map((value, chunk) => {
    const bits = bitsOf(mean[chunk]);
    high = hashIntegers(high, bits, chunk, state.step);
    low = hashIntegers(low, high, bits);
    return Math.fround(Math.fround(value * 0.75) + mean[chunk]);
  });
  return { step: state.step + 1, digest: mix(high, low, state.step, 3), values };
}

/** SHA-256 of a text, as parts and manifests name it. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function mix(high: number, low: number, a: number, b: number): string {
  const first = hashIntegers(high, low, a, b);
  return hex(first) + hex(hashIntegers(low, first, b));
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

let read: readonly [digest: string, high: number, low: number] = ['', 0, 0];

/** Both halves of a digest; most calls are about the digest of the call before. */
function halves(digest: string): readonly [number, number] {
  if (read[0] !== digest)
    read = [digest, parseInt(digest.slice(0, 8), 16), parseInt(digest.slice(8), 16)];
  return [read[1], read[2]];
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function bitsOf(value: number): number {
  float[0] = value;
  return bits[0];
}

/** A float32 of any size between 2^-13 and 2^11, of either sign. */
function spread(hash: number): number {
  const exponent = (hash % 24) - 12;
  return Math.fround((hashIntegers(hash, 11) / 2147483648 - 1) * 2 ** exponent);
}
