// Every limit of the exchange, in one place: sizes, counts and times. Reaching one is an event.

/** The limits of an exchange; times are milliseconds. */
export interface ExchangeLimits {
  /** From `join` until a peer has accepted the handshake; after it the peer counts as lost. */
  readonly dialMs: number;
  /**
   * Without any sign of a peer that has welcomed us, in a step or between two: it counts as lost.
   * A sign is a frame, or a part of one: see `aliveBytes`.
   */
  readonly silenceMs: number;
  /**
   * A worker that had nothing else to write to a peer says that it is alive this often. What is
   * silent is found one or two of these after `silenceMs`: together less than two seconds.
   */
  readonly aliveMs: number;
  /**
   * So many bytes within `aliveMs` are a sign of life: a link of 32 kbit/s is slow, not dead. Fewer
   * are what gRPC itself says, also for a worker that does not.
   */
  readonly aliveBytes: number;
  /** How long `close` lets peers go on pulling the last step's results. */
  readonly lingerMs: number;
  /** How long an incoming stream may be without a Hello, or wait for us to join its world. */
  readonly helloMs: number;
  /** Streams accepted but not (yet) part of our world. */
  readonly heldStreams: number;
  /** Bytes of others' sums that a lane holds until their tree is complete; at least one chunk. */
  readonly heldBytes: number;
  /** Frames handed to gRPC for one peer and not yet on the wire. */
  readonly framesInFlight: number;
  /** Receive window of a connection, bytes. */
  readonly windowBytes: number;
  /**
   * The same on this host, where nothing has to cover a round trip: what waits in the window is
   * still in the processor's cache when it is read.
   */
  readonly localWindowBytes: number;
  /**
   * gRPC keepalive: ping after this long, and how long the answer may take. The last resort for
   * connections that no one listens on, such as a stranger's. A peer is found by its silence: the
   * answer to a ping queues behind megabytes of frames, so a short timeout would cut slow links.
   */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
}

/** What production runs with. */
export const defaultExchangeLimits: ExchangeLimits = {
  dialMs: 4_000,
  silenceMs: 1_500,
  aliveMs: 250,
  aliveBytes: 1_024,
  lingerMs: 2_000,
  helloMs: 10_000,
  heldStreams: 1_024,
  heldBytes: 32 * 1024 * 1024,
  framesInFlight: 2,
  windowBytes: 8 * 1024 * 1024,
  localWindowBytes: 1024 * 1024,
  keepaliveMs: 1_000,
  keepaliveTimeoutMs: 60_000,
};
