// The edge of one stream that a peer has opened to pull from us: takes its requests, writes
// frames while gRPC takes them, and bounds what is handed over and not yet on the wire.

import * as grpc from '@grpc/grpc-js';

import type { Generation } from '../../shared/words.js';
import type { Pull } from './pulls.js';
import type { FrameToSend } from './service.js';
import type { Hello, WireRequest } from './wire.js';

export type ServerCall = grpc.ServerDuplexStream<WireRequest, FrameToSend>;

export interface ServingEvents {
  /** A request after the Hello. */
  onPull(pull: Pull): void;
  /** There is room for frames again. */
  onRoom(): void;
  /** The stream is over, by the peer or by `refuse` or `end`. Called once. */
  onClosed(): void;
}

/** One incoming stream; owns its gRPC call. */
export class ServingStream {
  readonly #call: ServerCall;
  readonly #framesInFlight: number;
  readonly #onHello: (hello: Hello) => void;
  #events: ServingEvents | undefined;
  #inFlight = 0;
  #hasHello = false;
  #isOver = false;
  #isMuted = false;
  /** Frames written since the last call of `takeWritten`. */
  #written = 0;

  /** `onHello` gets the first request; anything else as the first is refused without a call. */
  constructor(call: ServerCall, framesInFlight: number, onHello: (hello: Hello) => void) {
    this.#call = call;
    this.#framesInFlight = framesInFlight;
    this.#onHello = onHello;
    call.on('data', (request: WireRequest) => this.#onRequest(request));
    call.on('end', () => this.end());
    call.on('cancelled', () => this.#close());
    call.on('error', () => this.#close());
  }

  /** Says who deals with the stream from now on. */
  handle(events: ServingEvents): void {
    this.#events = events;
  }

  /** From now on nothing passes in either direction. */
  mute(): void {
    this.#isMuted = true;
  }

  get hasRoom(): boolean {
    return !this.#isOver && !this.#isMuted && this.#inFlight < this.#framesInFlight;
  }

  /** Hands one frame to gRPC; its values are read when the frame before it is on the wire. */
  write(frame: FrameToSend): void {
    if (this.#isMuted) return;
    this.#inFlight += 1;
    this.#written += 1;
    this.#call.write(frame, () => {
      this.#inFlight -= 1;
      if (!this.#isOver) this.#events?.onRoom();
    });
  }

  /** A frame without values: that the Hello is accepted, or that we are alive. */
  writeNote(kind: 'welcome' | 'alive', generation: Generation): void {
    const zeros = { step: 0, chunk: 0, start: 0, end: 0, floats: 0 };
    this.write({ header: { kind, generation, ...zeros }, values: undefined });
  }

  /** Frames written since the last call. */
  takeWritten(): number {
    const written = this.#written;
    this.#written = 0;
    return written;
  }

  /** Whether frames handed over are still on their way out. */
  get isSending(): boolean {
    return this.#inFlight > 0;
  }

  /** Ends the stream with a reason that the peer will see. */
  refuse(code: grpc.status, reason: string): void {
    if (this.#isOver) return;
    this.#call.emit('error', { code, details: reason });
  }

  /** Ends the stream in order: what was handed over is sent first. */
  end(): void {
    if (this.#isOver) return;
    this.#call.end();
    this.#close();
  }

  #onRequest(request: WireRequest): void {
    if (this.#isOver || this.#isMuted) return;
    if (request.kind === 'refused') {
      return this.refuse(grpc.status.INVALID_ARGUMENT, request.reason);
    }
    if ((request.kind === 'hello') === this.#hasHello) {
      const reason = this.#hasHello ? 'a second hello' : 'a request before the hello';
      return this.refuse(grpc.status.INVALID_ARGUMENT, reason);
    }
    if (request.kind === 'pull') return this.#events?.onPull(request.pull);
    this.#hasHello = true;
    this.#onHello(request.hello);
  }

  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events?.onClosed();
  }
}
