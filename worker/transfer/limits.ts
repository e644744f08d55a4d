// Every limit of handing a worker's state to another, in one place. Reaching one is an event.

/** The limits of both sides; times are milliseconds. */
export interface TransferLimits {
  /** Bytes of a whole state. */
  readonly stateBytes: number;
  /** Longest chunk. */
  readonly chunkBytes: number;
  /** States served at one time; who asks beyond that is to ask again. */
  readonly servings: number;
  /** Requests of worlds that we have not entered yet, waiting for us at one time. */
  readonly heldRequests: number;
  /** How long such a request waits. */
  readonly holdMs: number;
  /** Chunks handed to gRPC and not yet taken by it, for each state served. */
  readonly chunksInFlight: number;
  /** How long the compute thread may take for one answer, and the receiver for one chunk. */
  readonly stallMs: number;
  /** A server that has nothing to write says that it is alive this often. */
  readonly aliveMs: number;
  /** Without any frame, while we read: the transfer has failed. A frame is up to 1 MiB. */
  readonly silenceMs: number;
  /** A server that is busy is asked again after this long, and for this long in all. */
  readonly retryMs: number;
  readonly busyMs: number;
  /** Chunks given to the compute thread and not yet taken; beyond that nothing is read. */
  readonly chunksUntaken: number;
}

/** What production runs with. */
export const defaultTransferLimits: TransferLimits = {
  stateBytes: 64 * 1024 ** 3,
  chunkBytes: 1024 ** 2,
  servings: 16,
  heldRequests: 256,
  holdMs: 10_000,
  chunksInFlight: 2,
  stallMs: 60_000,
  aliveMs: 500,
  silenceMs: 3_000,
  retryMs: 250,
  busyMs: 60_000,
  chunksUntaken: 4,
};
