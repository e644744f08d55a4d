// Every limit of the exchange, in one place: sizes, counts and times. Reaching one is an event.

/** The limits of an exchange; times are milliseconds. */
export interface ExchangeLimits {
  /** From `join` until a peer has accepted the handshake; after it the peer counts as lost. */
  readonly dialMs: number;
  /**
   * Without any frame of a peer that has welcomed us, in a step or between two: it counts as lost.
   * A frame counts when it is complete, so a link that takes longer than this for 1 MiB looks like
   * silence: the limit is 0.7 MiB/s for each peer that sends at the same time.
   */
  readonly silenceMs: number;
  /**
   * A worker that had nothing else to write to a peer says that it is alive this often. What is
   * silent is found one or two of these after `silenceMs`: together less than two seconds.
   */
  readonly aliveMs: number;
  /** How long `close` lets peers go on pulling the last step's results. */
  readonly lingerMs: number;
  /** How long an incoming stream may be without a Hello, or wait for us to join its world. */
  readonly helloMs: number;
  /** Streams accepted but not (yet) part of our world. */
  readonly heldStreams: number;
  /** Bytes of other workers' sums held until their tree is complete; at least one chunk is. */
  readonly heldBytes: number;
  /** Frames handed to gRPC for one peer and not yet on the wire. */
  readonly framesInFlight: number;
  /** Receive window of a connection, bytes. */
  readonly windowBytes: number;
  /**
   * gRPC keepalive: ping after this long, and how long the answer may take. The last resort for
   * connections that no one listens on, such as a stranger's. A peer is found by its silence: the
   * answer to a ping queues behind megabytes of frames, so a short timeout would cut busy links.
   */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
}

/** What production runs with. */
export const defaultExchangeLimits: ExchangeLimits = {
  dialMs: 4_000,
  silenceMs: 1_500,
  aliveMs: 250,
  lingerMs: 2_000,
  helloMs: 10_000,
  heldStreams: 1_024,
  heldBytes: 32 * 1024 * 1024,
  framesInFlight: 2,
  windowBytes: 8 * 1024 * 1024,
  keepaliveMs: 1_000,
  keepaliveTimeoutMs: 4_000,
};
