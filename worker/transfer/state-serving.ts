// One state on its way to one peer: asks the compute thread for the next chunk when gRPC has taken
// the last ones. Holds at most a few chunks; what the bytes mean is not its business.

import * as grpc from '@grpc/grpc-js';

import type { StateHeader, ToCompute } from '../network/ports.js';
import type { TransferLimits } from './limits.js';
import { aliveFrame, headerFrame, maxJsonBytes, type StateFrame } from './state-frame.js';
import type { StateRequest, WireStateRequest } from './wire.js';

export type StateCall = grpc.ServerWritableStream<WireStateRequest, StateFrame>;

/** A request that is answered; owns its gRPC call. */
export class StateServing {
  readonly request: StateRequest;
  readonly #id: number;
  readonly #call: StateCall;
  readonly #limits: TransferLimits;
  readonly #toCompute: (message: ToCompute) => void;
  readonly #onOver: (serving: StateServing, reason: string | undefined) => void;
  #state: 'held' | 'header' | 'chunks' | 'over' = 'held';
  #bytes = 0;
  /** Bytes got from the compute thread. */
  #offset = 0;
  #isAsking = false;
  #inFlight = 0;
  /** Since the last tick. */
  #hasWritten = false;
  #stalledTicks = 0;

  /** `onOver` is called once, with the reason unless all bytes were sent. */
  constructor(
    id: number,
    request: StateRequest,
    call: StateCall,
    limits: TransferLimits,
    toCompute: (message: ToCompute) => void,
    onOver: (serving: StateServing, reason: string | undefined) => void,
  ) {
    this.request = request;
    this.#id = id;
    this.#call = call;
    this.#limits = limits;
    this.#toCompute = toCompute;
    this.#onOver = onOver;
    call.on('cancelled', () => this.#finish('the receiver is gone'));
    call.on('error', () => this.#finish('the stream broke'));
  }

  /** Whether it waits for us to enter its world. */
  get isHeld(): boolean {
    return this.#state === 'held';
  }

  /** Asks the compute thread for the state. */
  begin(): void {
    this.#state = 'header';
    this.#stalledTicks = 0;
    this.#toCompute({ kind: 'serveState', request: this.#id, step: this.request.step });
  }

  /** The compute thread has the state. */
  onHeader(header: StateHeader): void {
    if (this.#state !== 'header') return;
    const frame = headerFrame(this.request.generation, header);
    if (header.bytes > this.#limits.stateBytes || frame.payload.length > maxJsonBytes) {
      return this.refuse(grpc.status.OUT_OF_RANGE, `a state of ${header.bytes} bytes`);
    }
    this.#state = 'chunks';
    this.#bytes = header.bytes;
    this.#write(frame);
    this.#more();
  }

  /** The chunk asked for last. */
  onChunk(bytes: Uint8Array): void {
    if (this.#state !== 'chunks' || !this.#isAsking) return;
    this.#isAsking = false;
    const most = Math.min(this.#limits.chunkBytes, this.#bytes - this.#offset);
    if (bytes.length === 0 || bytes.length > most) {
      const reason = `a chunk of ${bytes.length} bytes where 1 to ${most} were asked for`;
      return this.refuse(grpc.status.INTERNAL, reason);
    }
    this.#offset += bytes.length;
    this.#write({ kind: 'chunk', generation: this.request.generation, payload: bytes });
    this.#more();
  }

  /** Ends the stream with a reason that the peer will see. */
  refuse(code: grpc.status, reason: string): void {
    if (this.#state === 'over') return;
    this.#finish(reason);
    this.#call.emit('error', { code, details: reason });
  }

  /** Every `aliveMs`: a sign of life where there is nothing to send, and an end to waiting. */
  tick(): void {
    const { aliveMs, stallMs, holdMs } = this.#limits;
    this.#stalledTicks += 1;
    const waitMs = this.isHeld ? holdMs : stallMs;
    if (this.#stalledTicks * aliveMs > waitMs) {
      const reason = `${this.#awaited()} within ${waitMs / 1000} s`;
      return this.refuse(grpc.status.DEADLINE_EXCEEDED, reason);
    }
    if (this.#hasWritten || this.#inFlight > 0) this.#hasWritten = false;
    else this.#call.write(aliveFrame(this.request.generation));
  }

  #awaited(): string {
    if (this.isHeld) return 'this worker did not enter your world';
    return this.#inFlight > 0 ? 'nothing was read' : 'the state did not come';
  }

  #more(): void {
    const { chunkBytes, chunksInFlight } = this.#limits;
    if (this.#state !== 'chunks' || this.#isAsking) return;
    if (this.#offset === this.#bytes) {
      if (this.#inFlight > 0) return;
      this.#call.end();
      return this.#finish(undefined);
    }
    if (this.#inFlight >= chunksInFlight) return;
    this.#isAsking = true;
    const maxBytes = Math.min(chunkBytes, this.#bytes - this.#offset);
    this.#toCompute({ kind: 'serveMore', request: this.#id, offset: this.#offset, maxBytes });
  }

  #write(frame: StateFrame): void {
    this.#hasWritten = true;
    this.#stalledTicks = 0;
    this.#inFlight += 1;
    this.#call.write(frame, () => {
      this.#inFlight -= 1;
      this.#stalledTicks = 0;
      this.#more();
    });
  }

  #finish(reason: string | undefined): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#onOver(this, reason);
  }
}
