// A state as one run of bytes, for sending it to another worker and for digests: network by
// network in the task's order, and of each the parameters, first moments, second moments and
// statistics, float32, little-endian. The numbers beside the vectors travel in a header.

import type { NetworkSpec } from '../flat/layout.js';
import type { TrainingState } from './state.js';

/** The vectors of a state in the order of its bytes; they share its memory. */
export function vectorsInOrder(
  networks: readonly Pick<NetworkSpec, 'name'>[],
  state: TrainingState,
): Float32Array[] {
  return networks.flatMap(({ name }) => {
    const { parameters, firstMoment, secondMoment, statistics } = state.networks[name];
    return [parameters, firstMoment, secondMoment, statistics];
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

/** Calls `take` with the piece of each vector that lies in [offset, end), and its place therein. */
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
