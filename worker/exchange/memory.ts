// The memory of a worker's exchange, which all of its threads share: the vectors of worlds lie in
// it, and the kernels of each thread add them up there. It only grows.

import { randomInt } from 'node:crypto';

import { OperatorError } from '../../shared/problems.js';
import {
  createSharedMemory,
  instantiate,
  mostPages,
  pageBytes,
  type WasmMemory,
} from '../../shared/wasm/instance.js';

/** A place in the memory, in bytes; a multiple of 64. */
export type Place = number;

/** What is posted to another thread. */
export type SharedMemory = WasmMemory<SharedArrayBuffer>;

const lineBytes = 64;
/** The first page holds two words: the end of what is taken, in lines, and the memory's id. */
const endIndex = 0;
const idIndex = 1;

/** A thread's view of the memory. */
export class ExchangeMemory {
  readonly kernel: SumKernel;
  /** Tells memories apart: an object that was posted is another one in each message. */
  readonly id: number;

  /** Without `shared` the memory is a new one. */
  constructor(readonly shared: SharedMemory = newMemory()) {
    this.kernel = instantiate(new URL('./assembly/sum-kernel.wasm', import.meta.url), shared);
    this.id = new Int32Array(shared.buffer, 0, 2)[idIndex];
  }

  /**
   * Takes memory, all zeros, for good; any thread may. Throws OperatorError when the memory, which
   * is at most 4 GiB, has no more.
   */
  allocate(bytes: number): Place {
    const lines = Math.ceil(bytes / lineBytes);
    const start = Atomics.add(new Int32Array(this.shared.buffer, 0, 1), endIndex, lines);
    const missing = (start + lines) * lineBytes - this.shared.buffer.byteLength;
    if (missing > 0) this.#grow(Math.ceil(missing / pageBytes), bytes);
    return start * lineBytes;
  }

  bytes(place: Place, bytes: number): Uint8Array {
    return new Uint8Array(this.shared.buffer, place, bytes);
  }

  floats(place: Place, count: number): Float32Array {
    return new Float32Array(this.shared.buffer, place, count);
  }

  #grow(pages: number, bytes: number): void {
    try {
      this.shared.grow(pages);
    } catch {
      throw new OperatorError('the vectors of a step do not fit into the memory of the exchange', [
        {
          key: 'batch.microShards',
          given: `${Math.ceil(bytes / 2 ** 20)} MiB more, for one vector`,
          allowed: `${(mostPages * pageBytes) / 2 ** 30} GiB for all vectors of a worker`,
          hint: 'a worker has one for each of its subtrees of micro-shards, and two for results',
        },
      ]);
    }
  }
}

function newMemory(): SharedMemory {
  const shared = createSharedMemory(1);
  const words = new Int32Array(shared.buffer, 0, 2);
  words[endIndex] = pageBytes / lineBytes;
  words[idIndex] = randomInt(1, 2 ** 31);
  return shared;
}

/**
 * The functions of assembly/sum-kernel.ts: names end in the bits of a value, 32 for float32 and 16
 * for bfloat16. Up to 7 values behind `count` are computed along.
 */
export interface SumKernel {
  /** out = left + right; `out` may be one of the two. */
  sum32(out: Place, left: Place, right: Place, count: number): void;
  sum16(out: Place, left: Place, right: Place, count: number): void;
  /** out = (left + right) * scale, rounded after each. */
  mean32(out: Place, left: Place, right: Place, count: number, scale: number): void;
  mean16(out: Place, left: Place, right: Place, count: number, scale: number): void;
  /** out = values * scale */
  scale32(out: Place, values: Place, count: number, scale: number): void;
  scale16(out: Place, values: Place, count: number, scale: number): void;
  /**
   * out = values, which are float32 in both; gives the sum of their squares, in float64. Values
   * behind `count`, up to a multiple of 8, must be zeros.
   */
  put32(out: Place, values: Place, count: number): number;
  put16(out: Place, values: Place, count: number): number;
  /** out = out + values, else as `put`; bfloat16: the values are rounded before they are added. */
  add32(out: Place, values: Place, count: number): number;
  add16(out: Place, values: Place, count: number): number;
  /** out (float32) = values (bfloat16) */
  widen(out: Place, values: Place, count: number): void;
}
