// One stream that a peer has opened to pull from us: takes its requests, writes frames while the
// host takes them, and bounds what is handed over and not yet on the wire.

import type { Generation } from '../../shared/words.js';
import type { ExchangeHello, ExchangeRequest, FrameHeader, Pull } from './core/messages.js';

/** Why a stream is refused: names of gRPC's statuses. After UNAVAILABLE the peer tries again. */
export type RefusalCode =
  | 'UNAVAILABLE'
  | 'INVALID_ARGUMENT'
  | 'FAILED_PRECONDITION'
  | 'DEADLINE_EXCEEDED'
  | 'RESOURCE_EXHAUSTED'
  | 'ABORTED';

/** A frame to be sent; the values are read when it is serialized, not when it is queued. */
export interface FrameToSend<Values = Uint8Array> {
  readonly header: FrameHeader;
  readonly values: Values | undefined;
}

/** An incoming stream as its host has it. */
export interface IncomingCall<Values> {
  /** Where it comes from, for the log. */
  readonly peer?: string;
  listen(handlers: CallHandlers): void;
  /** Calls `onSent` when another frame may follow. */
  write(frame: FrameToSend<Values>, onSent: () => void): void;
  /** Ends the stream with a reason that the peer will see. */
  refuse(code: RefusalCode, reason: string): void;
  /** Ends the stream in order: what was handed over is sent first. */
  end(): void;
  /** It is a peer's of our world: its connection may stay. */
  admitted?(): void;
  /** The stream is over, whoever has ended it. */
  over?(): void;
}

export interface CallHandlers {
  onRequest(request: ExchangeRequest): void;
  /** The peer sends no further requests. */
  onEnd(): void;
  /** The stream is over. */
  onClosed(): void;
}

export interface ServedStreamEvents {
  /** A request after the hello. */
  onPull(pull: Pull): void;
  /** There is room for frames again. */
  onRoom(): void;
  /** The stream is over, by the peer or by `refuse` or `end`. Called once. */
  onClosed(): void;
}

/** Owns the host's stream. */
export class ServedStream<Values> {
  readonly #call: IncomingCall<Values>;
  readonly #framesInFlight: number;
  readonly #onHello: (hello: ExchangeHello) => void;
  #events: ServedStreamEvents | undefined;
  #inFlight = 0;
  #hasHello = false;
  #isOver = false;
  #isMuted = false;
  /** Frames written since the last call of `takeWritten`. */
  #written = 0;

  /** `onHello` gets the first request; anything else as the first is refused without a call. */
  constructor(
    call: IncomingCall<Values>,
    framesInFlight: number,
    onHello: (hello: ExchangeHello) => void,
  ) {
    this.#call = call;
    this.#framesInFlight = framesInFlight;
    this.#onHello = onHello;
    call.listen({
      onRequest: (request) => this.#onRequest(request),
      onEnd: () => this.#end(),
      onClosed: () => this.#close(),
    });
  }

  get peer(): string | undefined {
    return this.#call.peer;
  }

  /** It is a peer's of our world. */
  admitted(): void {
    if (!this.#isOver) this.#call.admitted?.();
  }

  /** Sets who deals with the stream from now on. */
  handle(events: ServedStreamEvents): void {
    this.#events = events;
  }

  /** From now on nothing passes in either direction. */
  mute(): void {
    this.#isMuted = true;
  }

  get hasRoom(): boolean {
    return !this.#isOver && !this.#isMuted && this.#inFlight < this.#framesInFlight;
  }

  /** Hands one frame to the host. */
  write(frame: FrameToSend<Values>): void {
    if (this.#isMuted || this.#isOver) return;
    this.#inFlight += 1;
    this.#written += 1;
    this.#call.write(frame, () => {
      this.#inFlight -= 1;
      if (!this.#isOver) this.#events?.onRoom();
    });
  }

  /** A frame without values: that the hello is accepted, or that we are alive. */
  writeNote(kind: 'welcome' | 'alive', generation: Generation): void {
    const zeros = { step: 0, chunk: 0, start: 0, end: 0, bytes: 0 };
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
  refuse(code: RefusalCode, reason: string): void {
    if (this.#isOver) return;
    this.#call.refuse(code, reason);
    this.#close();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#call.end();
    this.#close();
  }

  #onRequest(request: ExchangeRequest): void {
    if (this.#isOver || this.#isMuted) return;
    if (request.kind === 'refused') return this.refuse('INVALID_ARGUMENT', request.reason);
    if ((request.kind === 'hello') === this.#hasHello) {
      const reason = this.#hasHello ? 'a second hello' : 'a request before the hello';
      return this.refuse('INVALID_ARGUMENT', reason);
    }
    if (request.kind === 'pull') return this.#events?.onPull(request.pull);
    this.#hasHello = true;
    this.#onHello(request.hello);
  }

  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#call.over?.();
    this.#events?.onClosed();
  }
}
