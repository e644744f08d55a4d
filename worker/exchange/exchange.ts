// What the worker's node sees of the exchange: an all-reduce over the canonical tree, and peers
// that may be lost. It runs in the network thread; tensors lie in shared memory.

import type { Rank, Step, World } from '../../shared/words.js';

/** What an exchange needs to know of a world and of the vector it reduces. */
export interface ExchangeWorld {
  readonly world: World;
  readonly rank: Rank;
  /** M, the leaves of the reduction tree. */
  readonly microShards: number;
  /**
   * One vector for each of this rank's `subtreesInside` its share, in that order: the float32
   * sums over the leaves of the subtree. Filled by the compute thread before `allReduce`.
   */
  readonly contributions: readonly Float32Array[];
  /**
   * Two vectors: the reduced vector of step s (the tree's sum divided by M) is written into
   * `results[s % 2]`, where peers may still pull it from while step s + 1 is computed.
   */
  readonly results: readonly [Float32Array, Float32Array];
}

export interface PeerLost {
  readonly rank: Rank;
  readonly worker: string;
  readonly reason: string;
}

/** What a pending `join` or `allReduce` rejects with when a peer is lost. */
export class PeerLostError extends Error {
  readonly lost: PeerLost;

  constructor(lost: PeerLost) {
    super(`worker ${lost.worker} (rank ${lost.rank}) ${lost.reason}`);
    this.name = 'PeerLostError';
    this.lost = lost;
  }
}

/**
 * Reduce-scatter and all-gather by pulls. All vectors of a world have the same length, but a
 * step may use less of it: `floats` is the length in use, equal on all ranks.
 */
export interface Exchange {
  /** Connects to the peers of a world, leaving any earlier one; resolves when all are reached. */
  join(world: ExchangeWorld): Promise<void>;
  /**
   * Resolves when `results[step % 2]` holds the first `floats` reduced values; from then on the
   * contributions may be overwritten. Within a world steps follow each other by one; the first
   * may be any. Rejects with a `PeerLostError` when a peer is lost that the step still needs.
   */
  allReduce(step: Step, floats: number): Promise<void>;
  /**
   * Called at most once for each peer of a world, also when it left in order: after the last
   * step that is no loss. A loss that the step under way can do without is reported after it.
   */
  onPeerLost(listener: (lost: PeerLost) => void): void;
  /** Leaves; first lets peers pull what they still need of the last complete step. */
  close(): Promise<void>;
}
