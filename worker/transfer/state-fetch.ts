// The edge towards one donor: asks it for a state and checks what comes, frame by frame. Reads no
// more than it is told to; whether to ask again is decided elsewhere.

import * as grpc from '@grpc/grpc-js';

import { Silence } from '../exchange/silence.js';
import type { StateHeader } from '../network/ports.js';
import type { TransferLimits } from './limits.js';
import { decodeStateFrame, parseStateHeader, type StateFrame } from './state-frame.js';
import { serializeStateRequest, stateMethod, type StateRequest } from './wire.js';

export interface StateFetchEvents {
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

/** One request; owns its gRPC call. */
export class StateFetch {
  readonly #request: StateRequest;
  readonly #limits: TransferLimits;
  readonly #events: StateFetchEvents;
  readonly #call: grpc.ClientReadableStream<Buffer>;
  readonly #silence: Silence<'donor'>;
  readonly #ticker: NodeJS.Timeout;
  #header: StateHeader | undefined;
  #received = 0;
  /** Held back until the donor has ended its stream: there might be more than it said. */
  #last: Uint8Array<ArrayBuffer> | undefined;
  #isOver = false;

  constructor(
    client: grpc.Client,
    request: StateRequest,
    limits: TransferLimits,
    events: StateFetchEvents,
  ) {
    this.#request = request;
    this.#limits = limits;
    this.#events = events;
    this.#silence = new Silence(limits.aliveMs, limits.silenceMs);
    this.#silence.heard('donor');
    this.#ticker = setInterval(() => this.#tick(), limits.aliveMs);
    const raw = (bytes: Buffer): Buffer => bytes;
    const bytes = serializeStateRequest(request);
    this.#call = client.makeServerStreamRequest(stateMethod.path, raw, raw, bytes);
    this.#call.on('data', (message: Buffer) => this.#onMessage(message));
    // Every end has a status, which says more than the error that may come before it.
    this.#call.on('error', () => undefined);
    this.#call.on('status', ({ code, details }) => this.#onStatus(code, details));
    this.#call.on('end', () => this.#conclude());
  }

  /** Stops reading: a few more messages arrive in buffers of gRPC, and the donor must wait. */
  pause(): void {
    this.#call.pause();
    this.#silence.forget('donor');
  }

  /** Reads on. */
  resume(): void {
    this.#call.resume();
    this.#silence.heard('donor');
  }

  /** Ends the stream, without a report. */
  drop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#ticker);
    this.#last = undefined;
    this.#call.cancel();
  }

  #onMessage(message: Buffer): void {
    if (this.#isOver) return;
    const frame = decodeStateFrame(message);
    if ('refused' in frame) return this.#fail(`sent ${frame.refused}`);
    const { generation } = this.#request;
    if (frame.generation !== generation) {
      return this.#fail(`sent a frame of generation ${frame.generation}; this is ${generation}`);
    }
    if (!this.#call.isPaused()) this.#silence.heard('donor');
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

  /** A stream that ended in order may still have messages for us: `end` comes after them. */
  #onStatus(code: grpc.status, details: string): void {
    if (this.#isOver || code === grpc.status.OK) return;
    if (code !== grpc.status.RESOURCE_EXHAUSTED || this.#header !== undefined) {
      const what = this.#header === undefined ? 'did not serve us' : 'ended its stream';
      return this.#fail(`${what}: ${details}`);
    }
    this.drop();
    this.#events.onBusy(details);
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
    if (this.#silence.tick(performance.now()).length === 0) return;
    this.#fail(`sent nothing for ${this.#limits.silenceMs / 1000} s`);
  }

  #fail(reason: string): void {
    if (this.#isOver) return;
    this.drop();
    this.#events.onFailed(reason);
  }
}
