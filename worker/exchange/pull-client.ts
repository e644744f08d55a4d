// The edge towards one peer: dials it, says hello, asks, and hands on what comes. Decides only
// how long to go on dialling; what a frame means is the core's business.

import * as grpc from '@grpc/grpc-js';

import type { Member } from '../../shared/words.js';
import { decodeFrame, type FrameHeader } from './frame.js';
import type { ExchangeLimits } from './limits.js';
import type { Pull } from './pulls.js';
import { clientOptions } from './service.js';
import { pullMethod, serializeHello, serializePull, type Hello } from './wire.js';

export interface PullClientEvents {
  /** The peer has accepted the Hello. */
  onWelcome(): void;
  /** Any frame after the welcome, ALIVE too. The values belong to the receiver. */
  onFrame(header: FrameHeader, values: Float32Array): void;
  /** The stream is over, or never began. Called at most once, and not after `close`. */
  onLost(reason: string): void;
}

/** One long-lived stream on which we pull from one peer; owns its channel. */
export class PullClient {
  readonly #member: Member;
  readonly #hello: Hello;
  readonly #limits: ExchangeLimits;
  readonly #events: PullClientEvents;
  readonly #client: grpc.Client;
  #call: grpc.ClientDuplexStream<Buffer, Buffer> | undefined;
  #state: 'dialling' | 'welcome' | 'closed' = 'dialling';
  #dialTimer: NodeJS.Timeout;
  #redialTimer: NodeJS.Timeout | undefined;
  #lastError = 'no answer';
  #isMuted = false;

  constructor(member: Member, hello: Hello, limits: ExchangeLimits, events: PullClientEvents) {
    this.#member = member;
    this.#hello = hello;
    this.#limits = limits;
    this.#events = events;
    const insecure = grpc.credentials.createInsecure();
    this.#client = new grpc.Client(member.address, insecure, clientOptions(limits));
    this.#dialTimer = setTimeout(() => this.#giveUp(), limits.dialMs);
    this.#dial();
  }

  /** Sends a request; only after the welcome. */
  ask(pull: Pull): void {
    if (!this.#isMuted) this.#call?.write(serializePull(pull));
  }

  /** From now on nothing passes, and an end of the stream goes unseen. */
  mute(): void {
    this.#isMuted = true;
    clearTimeout(this.#redialTimer);
  }

  /** The link is back: dials again, or reports the stream as lost, for it has holes. */
  unmute(): void {
    if (!this.#isMuted || this.#state === 'closed') return;
    this.#isMuted = false;
    if (this.#state === 'welcome') return this.#lose('lost its link to us');
    const call = this.#call;
    this.#dial();
    call?.cancel();
  }

  /** Ends the stream and the connection, without a report. */
  close(): void {
    this.#state = 'closed';
    clearTimeout(this.#dialTimer);
    clearTimeout(this.#redialTimer);
    this.#call?.cancel();
    this.#client.close();
  }

  #dial(): void {
    if (this.#isMuted) return;
    const metadata = new grpc.Metadata({ waitForReady: true });
    const raw = (bytes: Buffer): Buffer => bytes;
    const call = this.#client.makeBidiStreamRequest(pullMethod.path, raw, raw, metadata);
    this.#call = call;
    call.on('data', (bytes: Buffer) => {
      if (call === this.#call) this.#onMessage(bytes);
    });
    // Every end has a status, which says more than the error that may come before it.
    call.on('error', () => undefined);
    call.on('status', ({ code, details }) => {
      if (call === this.#call) this.#onEnd(code, details);
    });
    call.write(serializeHello(this.#hello));
  }

  #onMessage(bytes: Buffer): void {
    if (this.#state === 'closed' || this.#isMuted) return;
    const frame = decodeFrame(bytes);
    if ('refused' in frame) return this.#lose(`sent ${frame.refused}`);
    const isWelcome = frame.header.kind === 'welcome';
    if (isWelcome !== (this.#state === 'dialling')) {
      return this.#lose(`sent ${isWelcome ? 'a second welcome' : 'a frame before its welcome'}`);
    }
    if (!isWelcome) return this.#events.onFrame(frame.header, frame.values);
    if (frame.header.generation !== this.#hello.generation) {
      return this.#lose(`welcomed us to generation ${frame.header.generation}`);
    }
    this.#state = 'welcome';
    clearTimeout(this.#dialTimer);
    this.#events.onWelcome();
  }

  #onEnd(code: grpc.status, details: string): void {
    if (this.#state === 'closed' || this.#isMuted) return;
    this.#lastError = details;
    if (this.#state === 'welcome') return this.#lose(`ended its stream: ${details}`);
    // Not welcomed yet: nothing there, or something that is going away. Try again for a while.
    if (code !== grpc.status.UNAVAILABLE) return this.#lose(`refused us: ${details}`);
    clearTimeout(this.#redialTimer);
    this.#redialTimer = setTimeout(() => this.#dial(), 200);
  }

  #giveUp(): void {
    const { address } = this.#member;
    const seconds = this.#limits.dialMs / 1000;
    this.#lose(`could not be reached at ${address} within ${seconds} s: ${this.#lastError}`);
  }

  #lose(reason: string): void {
    if (this.#state === 'closed') return;
    this.close();
    this.#events.onLost(reason);
  }
}
