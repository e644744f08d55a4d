// Hands this worker's state to peers that are behind: admits or refuses a request by generation and
// by number, and asks the compute thread for the next chunk when the last ones are on their way.

import type { Clock } from '../../shared/clock.js';
import type { Generation } from '../../shared/words.js';
import type { RefusalCode } from '../exchange/served-stream.js';
import type { StateHeader, ToCompute, ToNetwork } from '../network/ports.js';
import {
  aliveFrame,
  headerFrame,
  maxJsonBytes,
  type StateFrame,
  type StateRequest,
  type TransferLimits,
} from './state-frame.js';

/** A request as its host has it. */
export interface StateCall {
  readonly request: StateRequest | { readonly refused: string };
  /** `onGone` is called when the stream is over before its end. */
  listen(onGone: (reason: string) => void): void;
  /** Calls `onSent` when another frame may follow. */
  write(frame: StateFrame, onSent: () => void): void;
  end(): void;
  refuse(code: StateRefusal, reason: string): void;
  /** Where it comes from, for the log. */
  readonly peer?: string;
  /** A member of our world asks: its connection may stay. */
  admitted?(): void;
  /** It is answered, or given up. */
  over?(): void;
}

/** Why a request is refused: gRPC's statuses. After RESOURCE_EXHAUSTED the peer asks again. */
export type StateRefusal = RefusalCode | 'OUT_OF_RANGE' | 'INTERNAL';

/** What the compute thread answers. */
export type ServedMessage = Extract<
  ToNetwork,
  { kind: 'servedHeader' | 'servedChunk' | 'serveRefused' }
>;

export interface StateServerOptions {
  /** Gets serveState and serveMore. */
  readonly toCompute: (message: ToCompute) => void;
  readonly limits: TransferLimits;
  readonly clock: Clock;
  /** A fact worth a log line: a state served, or refused, with the reason. */
  readonly log?: (fact: string, fields: Readonly<Record<string, unknown>>) => void;
}

const tooMany = 'too many ask for the state';

/** Owns the requests that are answered, or wait for us to enter their world. */
export class StateServer {
  readonly #options: StateServerOptions;
  readonly #servings = new Map<number, StateServing>();
  #stopTicks: (() => void) | undefined;
  #generation: Generation = 0;
  #isMember: (worker: string) => boolean = () => false;
  #lastId = 0;
  #isClosed = false;

  constructor(options: StateServerOptions) {
    this.#options = options;
  }

  /** An answer of the compute thread; one for a request that is over is dropped. */
  onCompute(message: ServedMessage): void {
    const serving = this.#servings.get(message.request);
    if (message.kind === 'servedHeader') serving?.onHeader(message.header);
    else if (message.kind === 'servedChunk') serving?.onChunk(message.bytes);
    else serving?.refuse('FAILED_PRECONDITION', message.reason);
  }

  /**
   * The world this worker is in from now on, and who else is: what earlier ones ask for, or still
   * get, ends, and so does what a stranger asks for.
   */
  setWorld(generation: Generation, isMember: (worker: string) => boolean): void {
    this.#generation = generation;
    this.#isMember = isMember;
    for (const serving of [...this.#servings.values()]) this.#admit(serving);
  }

  /** Ends all, with a reason that the peers see. */
  close(): void {
    this.#isClosed = true;
    for (const serving of [...this.#servings.values()]) {
      serving.refuse('UNAVAILABLE', 'this worker is leaving');
    }
  }

  /** A peer asks for a state. */
  onCall(call: StateCall): void {
    const refuse = (code: StateRefusal, details: string): void => {
      this.#options.log?.('state refused', { address: call.peer, reason: details });
      call.refuse(code, details);
    };
    const { limits, clock, toCompute } = this.#options;
    const { request } = call;
    if ('refused' in request) return refuse('INVALID_ARGUMENT', request.refused);
    if (this.#isClosed) return refuse('UNAVAILABLE', 'this worker is leaving');
    if (this.#servings.size >= limits.heldRequests) {
      return refuse('RESOURCE_EXHAUSTED', tooMany);
    }
    const id = ++this.#lastId;
    const serving = new StateServing(id, request, call, limits, toCompute, (why) =>
      this.#onOver(id, request.fromWorker, why, call.peer),
    );
    this.#servings.set(id, serving);
    this.#stopTicks ??= clock.every(limits.aliveMs, () => this.#tick());
    this.#admit(serving);
  }

  #admit(serving: StateServing): void {
    const { generation, fromWorker } = serving.request;
    if (generation < this.#generation) {
      const reason = `generation ${generation} is over; this worker is in ${this.#generation}`;
      return serving.refuse('FAILED_PRECONDITION', reason);
    }
    if (generation > this.#generation || !serving.isHeld) return;
    if (!this.#isMember(fromWorker))
      return serving.refuse('FAILED_PRECONDITION', `${fromWorker} is not in this world`);
    const served = [...this.#servings.values()].filter(({ isHeld }) => !isHeld);
    if (served.length < this.#options.limits.servings) return serving.begin();
    serving.refuse('RESOURCE_EXHAUSTED', tooMany);
  }

  #tick(): void {
    for (const serving of [...this.#servings.values()]) serving.tick();
  }

  #onOver(id: number, worker: string, reason: string | undefined, address?: string): void {
    this.#servings.delete(id);
    this.#options.log?.('state served', { worker, address, reason: reason ?? 'all of it' });
    if (this.#servings.size > 0) return;
    this.#stopTicks?.();
    this.#stopTicks = undefined;
  }
}

/** A request that is answered; owns its stream. */
class StateServing {
  readonly request: StateRequest;
  readonly #id: number;
  readonly #call: StateCall;
  readonly #limits: TransferLimits;
  readonly #toCompute: (message: ToCompute) => void;
  readonly #onOver: (reason: string | undefined) => void;
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
    onOver: (reason: string | undefined) => void,
  ) {
    this.request = request;
    this.#id = id;
    this.#call = call;
    this.#limits = limits;
    this.#toCompute = toCompute;
    this.#onOver = onOver;
    call.listen((reason) => this.#finish(reason));
  }

  /** Whether it waits for us to enter its world. */
  get isHeld(): boolean {
    return this.#state === 'held';
  }

  /** Asks the compute thread for the state. */
  begin(): void {
    this.#call.admitted?.();
    this.#state = 'header';
    this.#stalledTicks = 0;
    this.#toCompute({ kind: 'serveState', request: this.#id, step: this.request.step });
  }

  /** The compute thread has the state. */
  onHeader(header: StateHeader): void {
    if (this.#state !== 'header') return;
    const frame = headerFrame(this.request.generation, header);
    if (header.bytes > this.#limits.stateBytes || frame.payload.length > maxJsonBytes) {
      return this.refuse('OUT_OF_RANGE', `a state of ${header.bytes} bytes`);
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
      return this.refuse('INTERNAL', reason);
    }
    this.#offset += bytes.length;
    this.#write({ kind: 'chunk', generation: this.request.generation, payload: bytes });
    this.#more();
  }

  /** Ends the stream with a reason that the peer will see. */
  refuse(code: StateRefusal, reason: string): void {
    if (this.#state === 'over') return;
    this.#finish(reason);
    this.#call.refuse(code, reason);
  }

  /** Every `aliveMs`: a sign of life where there is nothing to send, and an end to waiting. */
  tick(): void {
    const { aliveMs, stallMs, holdMs } = this.#limits;
    this.#stalledTicks += 1;
    const waitMs = this.isHeld ? holdMs : stallMs;
    if (this.#stalledTicks * aliveMs > waitMs) {
      const reason = `${this.#awaited()} within ${waitMs / 1000} s`;
      return this.refuse('DEADLINE_EXCEEDED', reason);
    }
    if (this.#hasWritten || this.#inFlight > 0) this.#hasWritten = false;
    else this.#call.write(aliveFrame(this.request.generation), () => undefined);
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
    this.#call.over?.();
    this.#onOver(reason);
  }
}
