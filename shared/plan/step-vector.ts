// How the vector of a step lies in memory, and the chunks in which it is exchanged. Three sections
// one behind the other: what is summed exactly, gradients, which are summed in the precision of
// the run's exchange, and factors of gradients, which are not summed but gathered, leaf by leaf.

import type { Leaf } from '../words.js';
import type { Range } from './reduction.js';

/** What gradients are summed and sent in. */
export const exchangePrecisions = ['float32', 'bfloat16'] as const;
export type ExchangePrecision = (typeof exchangePrecisions)[number];

/** Bytes of a value. */
export const valueBytes: Readonly<Record<ExchangePrecision, number>> = { float32: 4, bfloat16: 2 };

/** What a step exchanges, in values. */
export interface StepShape {
  /** Summed, and float32 in any run: votes, statistics, metrics. */
  readonly exact: number;
  /** Summed in the exchange's precision. */
  readonly gradients: number;
  /** Gathered of each leaf, in the exchange's precision; 0 where nothing is. */
  readonly factors: number;
}

/** Whether two shapes are the same. */
export function equalStepShapes(a: StepShape, b: StepShape): boolean {
  return a.exact === b.exact && a.gradients === b.gradients && a.factors === b.factors;
}

/** Where the sections lie, in bytes from the start of a vector. */
export interface VectorPlaces {
  readonly exact: Range;
  readonly gradients: Range;
  /** A block for each leaf, in leaf order; all of length 0 where nothing is gathered. */
  readonly leaves: readonly Range[];
  /** Length of a vector that has a subtree's sums: without the leaves' blocks. */
  readonly contributionBytes: number;
  /** Length of a vector that has a step's result. */
  readonly resultBytes: number;
}

/** Sections and blocks begin at multiples of this many bytes: a line of the processor's cache. */
const sectionBytes = 64;

/** The places of a step's sections; `microShards` are the leaves. */
export function placesOf(
  { exact, gradients, factors }: StepShape,
  precision: ExchangePrecision,
  microShards: number,
): VectorPlaces {
  let end = 0;
  const append = (bytes: number): Range => {
    const start = end;
    end += sectionBytes * Math.ceil(bytes / sectionBytes);
    return { start, end: start + bytes };
  };
  const width = valueBytes[precision];
  const sums = { exact: append(valueBytes.float32 * exact), gradients: append(width * gradients) };
  const contributionBytes = end;
  const leaves = Array.from({ length: microShards }, () => append(width * factors));
  return { ...sums, leaves, contributionBytes, resultBytes: end };
}

/** Bytes of a full chunk, the unit of exchange: of those tried, best for two and four workers. */
export const chunkBytes = 512 * 1024;

/** Bytes [start, end) of a step's vector that are exchanged at a time. */
export interface Chunk extends Range {
  readonly precision: ExchangePrecision;
  /** The leaf whose factors they are; undefined for what is summed. */
  readonly leaf: Leaf | undefined;
}

/** The chunks of a step: numbered from 0, sums first, then leaves. */
export interface ChunkTable {
  readonly sums: readonly Chunk[];
  /** In leaf order. */
  readonly leaves: readonly Chunk[];
}

/**
 * The chunks of a step that pass through `lane`: of all of them, numbered through, every one whose
 * number is `lane` modulo `lanes`. The exact section comes first, since all wait for it most.
 */
export function chunksOf(
  shape: StepShape,
  precision: ExchangePrecision,
  microShards: number,
  lane = 0,
  lanes = 1,
): ChunkTable {
  const { exact, gradients, leaves } = placesOf(shape, precision, microShards);
  const sums = [...cut(exact, 'float32', undefined), ...cut(gradients, precision, undefined)];
  const ofLeaves = leaves.flatMap((block, leaf) => cut(block, precision, leaf));
  const isHere = (number: number): boolean => number % lanes === lane;
  return {
    sums: sums.filter((_, i) => isHere(i)),
    leaves: ofLeaves.filter((_, i) => isHere(sums.length + i)),
  };
}

function cut({ start, end }: Range, precision: ExchangePrecision, leaf: Leaf | undefined): Chunk[] {
  return Array.from({ length: Math.ceil((end - start) / chunkBytes) }, (_, i) => {
    const first = start + i * chunkBytes;
    return { start: first, end: Math.min(end, first + chunkBytes), precision, leaf };
  });
}
