// The vectors of a simulated worker's exchange: a value for each chunk, where a worker has up to a
// megabyte. They lie at places that are numbers and nothing more, and both of its threads see them.

import {
  foldTree,
  shareOf,
  subtreesInside,
  type TreeNode,
} from '../../../shared/plan/reduction.js';
import { chunkBytes, placesOf, type StepShape } from '../../../shared/plan/step-vector.js';
import { createSharedMemory } from '../../../shared/wasm/instance.js';
import type { Place } from '../../../worker/exchange/memory.js';
import type { ToNetwork, WorldVectors } from '../../../worker/network/ports.js';
import { add, type ChunkValue, type RunShape } from '../training-state.js';

/**
 * A vector of the exchange: a value for each chunk, by its number in the step. What a frame carries
 * is one of one chunk.
 */
export type SimVector = ChunkValue[];

/** What is in memory that nobody has written to. */
const zero: ChunkValue = { sum: 0, vote: 0 };

/** What a simulated world says of its memory, in which nothing lies. */
const noMemory = createSharedMemory(0);

export class SimVectors {
  /** As many chunks as the run's shape says: the first is exact, the others are gradients. */
  readonly shape: StepShape;
  readonly #run: RunShape;
  /** A place is never used again. */
  readonly #byPlace: SimVector[] = [];
  #subtrees: readonly TreeNode[] = [];
  #contributions: readonly Place[] = [];
  #results: readonly [Place, Place] = [0, 0];

  constructor(run: RunShape) {
    this.#run = run;
    const valuesOf = (chunks: number): number => (chunks * chunkBytes) / 4;
    const { chunks, factorChunks } = run;
    const sums = { exact: valuesOf(1), gradients: valuesOf(chunks - 1) };
    this.shape = { ...sums, factors: valuesOf(factorChunks) };
  }

  /** The vectors for a world. */
  enter(rank: number, worldSize: number): WorldVectors {
    const { microShards, chunks, factorChunks } = this.#run;
    const zeros = Array.from({ length: chunks + microShards * factorChunks }, () => zero);
    const allocate = (): Place => this.#byPlace.push([...zeros]) - 1;
    this.#subtrees = subtreesInside(shareOf(rank, worldSize, microShards), microShards);
    this.#contributions = this.#subtrees.map(allocate);
    this.#results = [allocate(), allocate()];
    const { contributionBytes, resultBytes } = placesOf(this.shape, 'float32', microShards);
    return {
      ...{ microShards, precision: 'float32', memory: noMemory, contributionBytes, resultBytes },
      ...{ contributions: this.#contributions, results: this.#results },
    };
  }

  at(place: Place): SimVector {
    return this.#byPlace[place];
  }

  result(step: number): SimVector {
    return this.at(this.#results[step % 2 === 0 ? 0 : 1]);
  }

  /** Writes the factors of a leaf into a step's result. */
  writeFactors(step: number, leaf: number, factors: readonly ChunkValue[]): void {
    const { chunks, factorChunks } = this.#run;
    const result = this.result(step);
    for (const [i, factor] of factors.entries()) result[chunks + leaf * factorChunks + i] = factor;
  }

  /** What is complete with `leaf`: its factors, and perhaps a contribution. */
  piecesOf(step: number, leaf: number): ToNetwork[] {
    const index = this.#subtrees.findIndex(({ end }) => end === leaf + 1);
    const contribute: ToNetwork = { kind: 'contribute', step, index };
    return [{ kind: 'publish', step, leaf }, ...(index < 0 ? [] : [contribute])];
  }

  /** Writes the sums of the subtree that ends with `leaf`, if one does, of `computed` leaves. */
  writeSums(leaf: number, computed: readonly (readonly ChunkValue[])[]): void {
    const index = this.#subtrees.findIndex(({ end }) => end === leaf + 1);
    if (index < 0) return;
    const contribution = this.at(this.#contributions[index]);
    for (let chunk = 0; chunk < this.#run.chunks; chunk++)
      contribution[chunk] = foldTree(
        this.#subtrees[index],
        ({ start, end }) => (end - start === 1 ? computed[start][chunk] : undefined),
        add,
      );
  }

  /** The factors of all leaves in a step's result. */
  factors(step: number): number[] {
    const { chunks, factorChunks, microShards } = this.#run;
    const result = this.result(step);
    const count = microShards * factorChunks;
    return Array.from({ length: count }, (_, i) => result[chunks + i].sum);
  }
}
