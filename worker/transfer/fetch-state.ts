// Takes the state of a peer for this worker: one at a time, chunk by chunk, as fast as the compute
// thread takes them. Checks every frame, and asks a donor that is busy again for a while.

import type { Clock } from '../../shared/clock.js';
import { Silence } from '../exchange/core/liveness.js';
import type { StateHeader, ToCompute, ToNetwork } from '../network/ports.js';
import {
  parseStateHeader,
  type StateFrame,
  type StateRequest,
  type TransferLimits,
} from './state-frame.js';

/** The way to one donor. */
export interface DonorChannel {
  /** Asks for a state. Nothing is reported before it returns, nor after `cancel`. */
  ask(request: StateRequest, handlers: StateStreamHandlers): StateStream;
  close(): void;
}

export interface StateStream {
  /** Stops reading: a few more messages may be on their way, and the donor must wait. */
  pause(): void;
  resume(): void;
  cancel(): void;
}

export interface StateStreamHandlers {
  onFrame(frame: StateFrame): void;
  /** Bytes that are no frame. */
  onMalformed(reason: string): void;
  /** The donor ended the stream in order, after the last frame. */
  onEnd(): void;
  /** It ended in another way. `isBusy`: the donor has too much to do. */
  onBroken(reason: string, isBusy: boolean): void;
}

export interface StateClientOptions {
  /** This worker's id, for the donor's log. */
  readonly worker: string;
  /**
   * Gets stateHeader, then stateChunk after stateChunk, or stateFailed at any time. The buffers
   * in `transfer` may be moved instead of copied: no one else uses them.
   */
  readonly toCompute: (message: ToCompute, transfer?: readonly ArrayBuffer[]) => void;
  readonly limits: TransferLimits;
  readonly clock: Clock;
  /** The way to the donor at an address ("host:port"); nothing is sent yet. */
  readonly openChannel: (donor: string) => DonorChannel;
}

export interface StateClient {
  /** Begins to fetch a state; drops the one that is being fetched. */
  fetch(message: Extract<ToNetwork, { kind: 'fetchState' }>): void;
  /** The compute thread has taken a chunk. */
  taken(): void;
  /** Gives up what is being fetched: nothing of it is sent any more. */
  drop(): void;
}

/** Creates the fetching side of a worker. Holds connections only while it fetches. */
export function createStateClient(options: StateClientOptions): StateClient {
  let current: Transfer | undefined;
  return {
    fetch(message) {
      current?.drop();
      current = new Transfer(options, message);
    },
    taken: () => current?.taken(),
    drop() {
      current?.drop();
      current = undefined;
    },
  };
}

/** One state on its way here; owns the channel to its donor. */
class Transfer {
  readonly #options: StateClientOptions;
  readonly #message: Extract<ToNetwork, { kind: 'fetchState' }>;
  readonly #channel: DonorChannel;
  readonly #startedMs: number;
  #fetch: StateFetch | undefined;
  #stopRetryTimer: () => void = () => undefined;
  #untaken = 0;
  #isPaused = false;

  constructor(options: StateClientOptions, message: Extract<ToNetwork, { kind: 'fetchState' }>) {
    this.#options = options;
    this.#message = message;
    this.#startedMs = options.clock.nowMs();
    this.#channel = options.openChannel(message.donor);
    this.#ask();
  }

  taken(): void {
    this.#untaken = Math.max(0, this.#untaken - 1);
    if (!this.#isPaused || this.#untaken > this.#options.limits.chunksUntaken) return;
    this.#isPaused = false;
    this.#fetch?.resume();
  }

  drop(): void {
    this.#stopRetryTimer();
    this.#fetch?.drop();
    this.#fetch = undefined;
    this.#channel.close();
  }

  #ask(): void {
    const { toCompute, worker, limits, clock } = this.#options;
    const { generation, step } = this.#message;
    const request = { generation, step, fromWorker: worker };
    this.#fetch = new StateFetch(this.#channel, request, limits, clock, {
      onHeader: (header) => toCompute({ kind: 'stateHeader', header }),
      onChunk: (bytes) => this.#onChunk(bytes),
      onDone: () => this.drop(),
      onBusy: (reason) => this.#onBusy(reason),
      onFailed: (reason) => this.#fail(reason),
    });
  }

  #onChunk(bytes: Uint8Array<ArrayBuffer>): void {
    this.#untaken += 1;
    if (this.#untaken > this.#options.limits.chunksUntaken) {
      this.#isPaused = true;
      this.#fetch?.pause();
    }
    this.#options.toCompute({ kind: 'stateChunk', bytes }, [bytes.buffer]);
  }

  #onBusy(reason: string): void {
    const { limits, clock } = this.#options;
    const { busyMs, retryMs } = limits;
    if (clock.nowMs() - this.#startedMs > busyMs) {
      return this.#fail(`was busy for ${busyMs / 1000} s: ${reason}`);
    }
    this.#stopRetryTimer = clock.after(retryMs, () => this.#ask());
  }

  #fail(reason: string): void {
    this.drop();
    const { donor } = this.#message;
    this.#options.toCompute({ kind: 'stateFailed', reason: `the donor at ${donor} ${reason}` });
  }
}

interface StateFetchEvents {
  /** What is to come. Called once, before any chunk. */
  onHeader(header: StateHeader): void;
  /** The bytes lie alone in their memory, which belongs to the receiver. */
  onChunk(bytes: Uint8Array<ArrayBuffer>): void;
  /** The last chunk was handed on. Nothing follows. */
  onDone(): void;
  /** The donor has too much to do. Nothing follows. */
  onBusy(reason: string): void;
  /** The state does not come, or not whole. Nothing follows. */
  onFailed(reason: string): void;
}

/** One request; owns its stream. */
class StateFetch {
  readonly #request: StateRequest;
  readonly #limits: TransferLimits;
  readonly #events: StateFetchEvents;
  readonly #stream: StateStream;
  readonly #clock: Clock;
  readonly #silence: Silence<'donor'>;
  readonly #stopTicks: () => void;
  #header: StateHeader | undefined;
  #received = 0;
  /** Held back until the donor has ended its stream: there might be more than it said. */
  #last: Uint8Array<ArrayBuffer> | undefined;
  #isPaused = false;
  #isOver = false;

  constructor(
    channel: DonorChannel,
    request: StateRequest,
    limits: TransferLimits,
    clock: Clock,
    events: StateFetchEvents,
  ) {
    this.#request = request;
    this.#limits = limits;
    this.#clock = clock;
    this.#events = events;
    this.#silence = new Silence(limits.aliveMs, limits.silenceMs);
    this.#silence.heard('donor');
    this.#stopTicks = clock.every(limits.aliveMs, () => this.#tick());
    this.#stream = channel.ask(request, {
      onFrame: (frame) => this.#onFrame(frame),
      onMalformed: (reason) => this.#fail(`sent ${reason}`),
      onEnd: () => this.#conclude(),
      onBroken: (reason, isBusy) => this.#onBroken(reason, isBusy),
    });
  }

  /** Stops reading; the donor is not expected to send. */
  pause(): void {
    this.#isPaused = true;
    this.#stream.pause();
    this.#silence.forget('donor');
  }

  /** Reads on. */
  resume(): void {
    this.#isPaused = false;
    this.#stream.resume();
    this.#silence.heard('donor');
  }

  /** Ends the stream, without a report. */
  drop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopTicks();
    this.#last = undefined;
    this.#stream.cancel();
  }

  #onFrame(frame: StateFrame): void {
    if (this.#isOver) return;
    const { generation } = this.#request;
    if (frame.generation !== generation) {
      return this.#fail(`sent a frame of generation ${frame.generation}; this is ${generation}`);
    }
    if (!this.#isPaused) this.#silence.heard('donor');
    if (frame.kind === 'header') this.#onHeader(frame);
    else if (frame.kind === 'chunk') this.#onChunk(frame);
  }

  #onHeader({ payload }: StateFrame): void {
    if (this.#header !== undefined) return this.#fail('sent a second header');
    const header = parseStateHeader(payload);
    if ('refused' in header) return this.#fail(`sent ${header.refused}`);
    if (header.step !== this.#request.step) {
      return this.#fail(`sent the state of step ${header.step} for step ${this.#request.step}`);
    }
    if (header.bytes > this.#limits.stateBytes) {
      return this.#fail(
        `has a state of ${header.bytes} bytes, of at most ${this.#limits.stateBytes}`,
      );
    }
    this.#header = header;
    this.#events.onHeader(header);
  }

  #onChunk({ payload }: StateFrame): void {
    if (this.#header === undefined) return this.#fail('sent a chunk before its header');
    this.#received += payload.length;
    if (this.#received > this.#header.bytes) {
      return this.#fail(`sent more than the ${this.#header.bytes} bytes it had said`);
    }
    // Small messages lie in memory that others share; large ones have their own.
    const isAlone = payload.buffer.byteLength - payload.length <= 64;
    const bytes = (isAlone ? payload : new Uint8Array(payload)) as Uint8Array<ArrayBuffer>;
    if (this.#received === this.#header.bytes) this.#last = bytes;
    else this.#events.onChunk(bytes);
  }

  #onBroken(reason: string, isBusy: boolean): void {
    if (this.#isOver) return;
    if (!isBusy || this.#header !== undefined) {
      const what = this.#header === undefined ? 'did not serve us' : 'ended its stream';
      return this.#fail(`${what}: ${reason}`);
    }
    this.drop();
    this.#events.onBusy(reason);
  }

  #conclude(): void {
    if (this.#isOver) return;
    if (this.#header === undefined) return this.#fail('ended its stream without a state');
    const { bytes } = this.#header;
    if (this.#received < bytes) return this.#fail(`sent ${this.#received} of ${bytes} bytes`);
    const last = this.#last;
    this.drop();
    if (last !== undefined) this.#events.onChunk(last);
    this.#events.onDone();
  }

  #tick(): void {
    if (this.#silence.tick(this.#clock.nowMs()).length === 0) return;
    this.#fail(`sent nothing for ${this.#limits.silenceMs / 1000} s`);
  }

  #fail(reason: string): void {
    if (this.#isOver) return;
    this.drop();
    this.#events.onFailed(reason);
  }
}
