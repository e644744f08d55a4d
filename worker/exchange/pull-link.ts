// The link to one peer: dials it until it welcomes us or our patience ends, asks, and passes on
// what comes. The host opens the streams.

import type { Clock } from '../../shared/clock.js';
import type { Member } from '../../shared/words.js';
import type { ExchangeHello, FrameHeader, Pull } from './core/messages.js';
import type { ExchangeLimits } from './limits.js';

/** A peer that has not welcomed us is dialled again after this long. */
const redialMs = 200;

/** The way to one peer, on which one stream after the other is opened. */
export interface PeerChannel<Values> {
  /** Opens a stream with a hello. Nothing is reported before it returns. */
  open(hello: ExchangeHello, handlers: PullHandlers<Values>): PullStream;
  /** Bytes that have come so far, those of frames that are not complete included. */
  receivedBytes(): number;
  close(): void;
}

/** A stream on which we pull. */
export interface PullStream {
  ask(pull: Pull): void;
  cancel(): void;
}

export interface PullHandlers<Values> {
  /** The values belong to the receiver. */
  onFrame(header: FrameHeader, values: Values): void;
  /** Bytes that are no frame. */
  onMalformed(reason: string): void;
  /** The stream is over. `isRefusal`: the peer is there and does not want it. */
  onEnd(reason: string, isRefusal: boolean): void;
}

export interface PullLinkEvents<Values> {
  /** The peer has accepted the hello. */
  onWelcome(): void;
  /** Any frame after the welcome, ALIVE too. */
  onFrame(header: FrameHeader, values: Values): void;
  /** The stream is over, or never began. Called at most once, and not after `close`. */
  onLost(reason: string): void;
}

/** Owns the channel to its peer. */
export class PullLink<Values> {
  readonly #member: Member;
  readonly #hello: ExchangeHello;
  readonly #channel: PeerChannel<Values>;
  readonly #clock: Clock;
  readonly #events: PullLinkEvents<Values>;
  #stream: PullStream | undefined;
  #state: 'dialling' | 'welcome' | 'closed' = 'dialling';
  readonly #stopDialTimer: () => void;
  #stopRedialTimer: () => void = () => undefined;
  #lastError = 'no answer';
  #isMuted = false;
  #takenBytes = 0;

  constructor(
    member: Member,
    hello: ExchangeHello,
    channel: PeerChannel<Values>,
    { dialMs }: ExchangeLimits,
    clock: Clock,
    events: PullLinkEvents<Values>,
  ) {
    this.#member = member;
    this.#hello = hello;
    this.#channel = channel;
    this.#clock = clock;
    this.#events = events;
    this.#stopDialTimer = clock.after(dialMs, () => this.#giveUp(dialMs));
    this.#dial();
  }

  /** Sends a request; only after the welcome. */
  ask(pull: Pull): void {
    if (!this.#isMuted) this.#stream?.ask(pull);
  }

  /** Bytes that have come since the last call, while the peer's welcome holds. */
  takeReceivedBytes(): number {
    const bytes = this.#channel.receivedBytes();
    const fresh = bytes - this.#takenBytes;
    this.#takenBytes = bytes;
    return this.#state === 'welcome' && !this.#isMuted ? fresh : 0;
  }

  /** From now on nothing passes, and an end of the stream goes unseen. */
  mute(): void {
    this.#isMuted = true;
    this.#stopRedialTimer();
  }

  /** The link is back: dials again, or reports the stream as lost, for it has holes. */
  unmute(): void {
    if (!this.#isMuted || this.#state === 'closed') return;
    this.#isMuted = false;
    if (this.#state === 'welcome') return this.#lose('lost its link to us');
    const stream = this.#stream;
    this.#dial();
    stream?.cancel();
  }

  /** Ends the stream and the connection, without a report. */
  close(): void {
    this.#state = 'closed';
    this.#stopDialTimer();
    this.#stopRedialTimer();
    this.#stream?.cancel();
    this.#channel.close();
  }

  #dial(): void {
    if (this.#isMuted) return;
    const isPresent = (): boolean =>
      stream === this.#stream && this.#state !== 'closed' && !this.#isMuted;
    const stream = this.#channel.open(this.#hello, {
      onFrame: (header, values) => {
        if (isPresent()) this.#onFrame(header, values);
      },
      onMalformed: (reason) => {
        if (isPresent()) this.#lose(`sent ${reason}`);
      },
      onEnd: (reason, isRefusal) => {
        if (isPresent()) this.#onEnd(reason, isRefusal);
      },
    });
    this.#stream = stream;
  }

  #onFrame(header: FrameHeader, values: Values): void {
    const isWelcome = header.kind === 'welcome';
    if (isWelcome !== (this.#state === 'dialling'))
      return this.#lose(`sent ${isWelcome ? 'a second welcome' : 'a frame before its welcome'}`);
    if (!isWelcome) return this.#events.onFrame(header, values);
    if (header.generation !== this.#hello.generation)
      return this.#lose(`welcomed us to generation ${header.generation}`);
    this.#state = 'welcome';
    this.#stopDialTimer();
    this.#events.onWelcome();
  }

  #onEnd(reason: string, isRefusal: boolean): void {
    this.#lastError = reason;
    if (this.#state === 'welcome') return this.#lose(`ended its stream: ${reason}`);
    // Not welcomed yet: nothing there, or something that is going away. Try again for a while.
    if (isRefusal) return this.#lose(`refused us: ${reason}`);
    this.#stopRedialTimer();
    this.#stopRedialTimer = this.#clock.after(redialMs, () => this.#dial());
  }

  #giveUp(dialMs: number): void {
    const within = `within ${dialMs / 1000} s`;
    this.#lose(`could not be reached at ${this.#member.address} ${within}: ${this.#lastError}`);
  }

  #lose(reason: string): void {
    if (this.#state === 'closed') return;
    this.close();
    this.#events.onLost(reason);
  }
}
