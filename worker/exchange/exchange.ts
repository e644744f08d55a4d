// What the worker's node sees of the exchange: an all-reduce over the canonical tree, and peers
// that may be lost. It runs in the network thread; tensors lie in shared memory.

import type { Generation, Rank, Step, World } from '../../shared/words.js';

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

/** A peer that can't be reached any more in the world of `generation`. */
export interface PeerLost {
  readonly generation: Generation;
  readonly rank: Rank;
  readonly worker: string;
  readonly reason: string;
}

/**
 * Whom a step waited for: the peer that was for the longest time the only one whose sums were
 * missing here, and for how long it was. Undefined where no peer was ever the only one: in a world
 * of one, or for a worker that owns no chunk and so needs nobody's sums.
 */
export interface Reduced {
  readonly waitedFor: Rank | undefined;
  readonly waitedMs: number;
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
  /**
   * Connects to the peers of a world; resolves when all are reached. Leaves any earlier world at
   * once: what is pending there rejects with a plain Error (never a `PeerLostError`), and nothing
   * more is reported of it.
   */
  join(world: ExchangeWorld): Promise<void>;
  /**
   * Resolves when `results[step % 2]` holds the first `floats` reduced values; from then on the
   * contributions may be overwritten. Within a world steps follow each other by one; the first
   * may be any. Rejects with a `PeerLostError` when a peer is lost that the step still needs.
   */
  allReduce(step: Step, floats: number): Promise<Reduced>;
  /**
   * Called at most once for each peer of a world, at once, in a step or between two, and also when
   * it left in order: after the last step that is no loss, nor when it has moved on to the next
   * world. A loss that the step under way can do without is reported when that step is over.
   */
  onPeerLost(listener: (lost: PeerLost) => void): void;
  /**
   * A fault on purpose: for `ms` nothing passes between this worker and `worker`, in either
   * direction and in any world, and neither sees a connection end. Then the link is broken: a
   * peer that was connected counts as lost, one that was being dialled is dialled again.
   */
  mute(worker: string, ms: number): void;
  /** Leaves; first lets peers pull what they still need of the last complete step. */
  close(): Promise<void>;
}
