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
  /** Asks for a state. Nothing is reported before it returns. */
  ask(request: StateRequest, handlers: StateStreamHandlers): StateStream;
  /** Bytes that have come so far, those of frames that are not complete included. */
  receivedBytes(): number;
  close(): void;
}

export interface StateStream {
  /** Stops reading: a few more messages may be on their way, and the donor must wait. */
  pause(): void;
  resume(): void;
  cancel(): void;
}

export interface StateStreamHandlers {
  /** The payload belongs to the receiver. */
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
  fetch(message: FetchState): void;
  /** The compute thread has taken a chunk. */
  taken(): void;
  /** Gives up what is being fetched: nothing of it is sent any more. */
  drop(): void;
}

type FetchState = Extract<ToNetwork, { kind: 'fetchState' }>;

/** Creates the fetching side of a worker. Holds connections only while it fetches. */
export function createStateClient(options: StateClientOptions): StateClient {
  let current: StateFetch | undefined;
  return {
    fetch(message) {
      current?.drop();
      current = new StateFetch(options, message);
    },
    taken: () => current?.taken(),
    drop: () => current?.drop(),
  };
}

/** One state on its way here; owns the channel to its donor. */
class StateFetch {
  readonly #options: StateClientOptions;
  readonly #message: FetchState;
  readonly #channel: DonorChannel;
  readonly #startedMs: number;
  readonly #silence: Silence<'donor'>;
  readonly #stopTicks: () => void;
  #stopRetryTimer: () => void = () => undefined;
  #stream: StateStream | undefined;
  #header: StateHeader | undefined;
  #received = 0;
  /** Of the channel, at the last tick. */
  #channelBytes = 0;
  /** Held back until the donor has ended its stream: there might be more than it said. */
  #last: Uint8Array<ArrayBuffer> | undefined;
  /** Chunks that the compute thread has not taken yet. */
  #untaken = 0;
  #isPaused = false;
  #isOver = false;

  constructor(options: StateClientOptions, message: FetchState) {
    const { clock, limits, openChannel } = options;
    this.#options = options;
    this.#message = message;
    this.#startedMs = clock.nowMs();
    this.#channel = openChannel(message.donor);
    this.#silence = new Silence(limits.aliveMs, limits.silenceMs);
    this.#stopTicks = clock.every(limits.aliveMs, () => this.#tick());
    this.#ask();
  }

  taken(): void {
    this.#untaken = Math.max(0, this.#untaken - 1);
    if (!this.#isPaused || this.#untaken > this.#options.limits.chunksUntaken) return;
    this.#isPaused = false;
    this.#stream?.resume();
    this.#silence.heard('donor');
  }

  /** Ends the stream and the connection, without a report. */
  drop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopTicks();
    this.#stopRetryTimer();
    this.#last = undefined;
    this.#stream?.cancel();
    this.#channel.close();
  }

  #ask(): void {
    const { generation, step } = this.#message;
    this.#silence.heard('donor');
    const ifWanted =
      <Args extends unknown[]>(run: (...args: Args) => void) =>
      (...args: Args): void => {
        if (!this.#isOver && stream === this.#stream) run(...args);
      };
    const stream = this.#channel.ask(
      { generation, step, fromWorker: this.#options.worker },
      {
        onFrame: ifWanted((frame) => this.#onFrame(frame)),
        onMalformed: ifWanted((reason) => this.#fail(`sent ${reason}`)),
        onEnd: ifWanted(() => this.#conclude()),
        onBroken: ifWanted((reason, isBusy) => this.#onBroken(reason, isBusy)),
      },
    );
    this.#stream = stream;
  }

  #onFrame(frame: StateFrame): void {
    const { generation } = this.#message;
    if (frame.generation !== generation)
      return this.#fail(`sent a frame of generation ${frame.generation}; this is ${generation}`);
    if (!this.#isPaused) this.#silence.heard('donor');
    if (frame.kind === 'header') this.#onHeader(frame);
    else if (frame.kind === 'chunk') this.#onChunk(frame);
  }

  #onHeader({ payload }: StateFrame): void {
    const { stateBytes } = this.#options.limits;
    const { step } = this.#message;
    if (this.#header !== undefined) return this.#fail('sent a second header');
    const header = parseStateHeader(payload);
    if ('refused' in header) return this.#fail(`sent ${header.refused}`);
    if (header.step !== step)
      return this.#fail(`sent the state of step ${header.step} for step ${step}`);
    if (header.bytes > stateBytes)
      return this.#fail(`has a state of ${header.bytes} bytes, of at most ${stateBytes}`);
    this.#header = header;
    this.#options.toCompute({ kind: 'stateHeader', header });
  }

  #onChunk({ payload }: StateFrame): void {
    if (this.#header === undefined) return this.#fail('sent a chunk before its header');
    this.#received += payload.length;
    if (this.#received > this.#header.bytes)
      return this.#fail(`sent more than the ${this.#header.bytes} bytes it had said`);
    // Small messages lie in memory that others share; large ones have their own.
    const isAlone = payload.buffer.byteLength - payload.length <= 64;
    const bytes = (isAlone ? payload : new Uint8Array(payload)) as Uint8Array<ArrayBuffer>;
    if (this.#received === this.#header.bytes) this.#last = bytes;
    else this.#passOn(bytes);
  }

  #passOn(bytes: Uint8Array<ArrayBuffer>): void {
    this.#untaken += 1;
    if (this.#untaken > this.#options.limits.chunksUntaken) {
      this.#isPaused = true;
      this.#stream?.pause();
      // A donor that we do not read from is not expected to send.
      this.#silence.forget('donor');
    }
    this.#options.toCompute({ kind: 'stateChunk', bytes }, [bytes.buffer]);
  }

  #onBroken(reason: string, isBusy: boolean): void {
    if (this.#header !== undefined) return this.#fail(`ended its stream: ${reason}`);
    if (!isBusy) return this.#fail(`did not serve us: ${reason}`);
    const { limits, clock } = this.#options;
    const { busyMs, retryMs } = limits;
    if (clock.nowMs() - this.#startedMs > busyMs)
      return this.#fail(`was busy for ${busyMs / 1000} s: ${reason}`);
    this.#silence.forget('donor');
    this.#stream = undefined;
    this.#stopRetryTimer = clock.after(retryMs, () => this.#ask());
  }

  #conclude(): void {
    if (this.#header === undefined) return this.#fail('ended its stream without a state');
    const { bytes } = this.#header;
    if (this.#received < bytes) return this.#fail(`sent ${this.#received} of ${bytes} bytes`);
    const last = this.#last;
    this.drop();
    if (last !== undefined) this.#passOn(last);
  }

  #tick(): void {
    const bytes = this.#channel.receivedBytes();
    const isArriving = bytes - this.#channelBytes >= this.#options.limits.aliveBytes;
    this.#channelBytes = bytes;
    if (isArriving && !this.#isPaused && this.#stream !== undefined) this.#silence.heard('donor');
    if (this.#silence.tick(this.#options.clock.nowMs()).length === 0) return;
    this.#fail(`sent nothing for ${this.#options.limits.silenceMs / 1000} s`);
  }

  #fail(reason: string): void {
    this.drop();
    const { donor } = this.#message;
    this.#options.toCompute({ kind: 'stateFailed', reason: `the donor at ${donor} ${reason}` });
  }
}
