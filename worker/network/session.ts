// The worker's end of its session with the coordinator: one stream, checked messages. When the
// stream ends it dials again, address after address, for as long as it is not closed.

import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { Clock } from '../../shared/clock.js';
import {
  controlChannelOptions,
  loadControlService,
  toWire,
  type WireMessage,
} from '../../shared/control/codec.js';
import type { CoordinatorMessage, WorkerMessage } from '../../shared/control/messages.js';
import {
  fromCoordinator,
  type TraceAnswer,
  type TraceOrder,
} from '../../shared/control/tracing.js';
import { messageOf } from '../../shared/problems.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import { fellowChannel } from '../../shared/tls/mutual.js';

/** How long one address may take to answer. */
const dialMs = 2_000;

/** Pause before the next address; grows while none answers. */
const firstPauseMs = 100;
const longestPauseMs = 1_000;

/** An address that has answered nothing for so long is given up: a coordinator welcomes. */
const welcomeMs = 5_000;

/** Longest time for what was sent last to leave. */
const endMs = 1_000;

export interface SessionHandlers {
  onOpen(): void;
  onMessage(message: CoordinatorMessage | TraceOrder): void;
  /** The session that was opened last is over; another is tried. */
  onLost(reason: string): void;
}

/** One dialled address. */
export interface SessionLine {
  send(message: WorkerMessage | TraceAnswer): void;
  /** Ends all at once. */
  drop(): void;
  /** Ends the stream after what was sent. */
  end(onEnded: () => void): void;
}

export interface SessionPorts {
  readonly clock: Clock;
  /** Dials one address; `onLost` says that it is over, or never began. */
  dial(address: string, handlers: SessionHandlers): SessionLine;
  /** A number in [0, 1), so that workers do not dial at the same moments. */
  random(): number;
}

/** A session with whichever of some addresses answers. */
export class Session {
  readonly #addresses: readonly string[];
  readonly #ports: SessionPorts;
  readonly #handlers: SessionHandlers;
  #turn = 0;
  #pauseMs = firstPauseMs;
  #line: SessionLine | undefined;
  #stopTimer: () => void = () => undefined;
  #isOpen = false;
  #isClosed = false;

  constructor(addresses: readonly string[], ports: SessionPorts, handlers: SessionHandlers) {
    this.#addresses = addresses;
    this.#ports = ports;
    this.#handlers = handlers;
    this.#dial();
  }

  /** Does nothing while there is no session. */
  send(message: WorkerMessage | TraceAnswer): void {
    if (this.#isOpen) this.#line?.send(message);
  }

  /** Gives up this session and dials on. */
  redial(reason: string): void {
    const wasOpen = this.#isOpen;
    this.#stopTimer();
    this.#line?.drop();
    this.#line = undefined;
    this.#isOpen = false;
    this.#turn += 1;
    const pauseMs = this.#pauseMs * (0.5 + this.#ports.random() / 2);
    this.#stopTimer = this.#ports.clock.after(pauseMs, () => this.#dial());
    this.#pauseMs = Math.min(longestPauseMs, 2 * this.#pauseMs);
    if (wasOpen) this.#handlers.onLost(reason);
  }

  /** Ends the stream after what was sent, and the connection. */
  close(onClosed: () => void): void {
    this.#isClosed = true;
    this.#stopTimer();
    if (this.#line === undefined) onClosed();
    else this.#line.end(onClosed);
  }

  #dial(): void {
    const address = this.#addresses[this.#turn % this.#addresses.length];
    // Nothing more is heard of a line that was given up.
    const isPresent = (): boolean => line === this.#line && !this.#isClosed;
    const line = this.#ports.dial(address, {
      onOpen: () => {
        if (!isPresent()) return;
        this.#isOpen = true;
        const late = `no answer within ${welcomeMs / 1000} s`;
        this.#stopTimer = this.#ports.clock.after(welcomeMs, () => this.redial(late));
        this.#handlers.onOpen();
      },
      onMessage: (message) => {
        if (!isPresent()) return;
        this.#stopTimer();
        this.#pauseMs = firstPauseMs;
        this.#handlers.onMessage(message);
      },
      onLost: (reason) => {
        if (isPresent()) this.redial(reason);
      },
    });
    this.#line = line;
  }
}

type Stream = ClientDuplexStream<WireMessage, WireMessage>;

/**
 * Dials coordinators over gRPC; with certificates only the one of our own run. `onFailure` hears
 * why an address does not come to anything, once until the reason is another.
 */
export function createDial(
  certificates: Certificates | undefined,
  onFailure: (address: string, reason: string) => void,
): SessionPorts['dial'] {
  const said = new Map<string, string>();
  return (address, handlers) =>
    dialCoordinator(address, handlers, certificates, (reason) => {
      if (said.get(address) !== reason) onFailure(address, reason);
      said.set(address, reason);
    });
}

function dialCoordinator(
  address: string,
  handlers: SessionHandlers,
  certificates: Certificates | undefined,
  onFailure: (reason: string) => void,
): SessionLine {
  const Control = loadControlService();
  const place = { role: 'coordinator' } as const;
  const { credentials, options } = fellowChannel(certificates, () => place, onFailure);
  const client = new Control(address, credentials, { ...controlChannelOptions, ...options });
  let stream: Stream | undefined;
  let isOver = false;
  const drop = (): void => {
    isOver = true;
    stream?.cancel();
    client.close();
  };
  const open = (): void => {
    stream = (client as unknown as { session(): Stream }).session();
    stream.on('data', (wire: WireMessage) => {
      if (isOver) return;
      try {
        handlers.onMessage(fromCoordinator(wire));
      } catch (problem) {
        handlers.onLost(messageOf(problem));
      }
    });
    stream.on('error', (problem) => handlers.onLost(problem.message));
    stream.on('end', () => handlers.onLost('it closed the session'));
    handlers.onOpen();
  };
  client.waitForReady(Date.now() + dialMs, (error) => {
    if (isOver) return;
    if (error) handlers.onLost(`${address} did not answer within ${dialMs / 1000} s`);
    else open();
  });
  return {
    send: (message) => void stream?.write(toWire(message)),
    drop,
    end: (onEnded) => endStream(stream, drop, onEnded),
  };
}

function endStream(stream: Stream | undefined, drop: () => void, onEnded: () => void): void {
  const done = (): void => {
    drop();
    onEnded();
  };
  if (stream === undefined || stream.destroyed) return done();
  // A coordinator that is gone takes nothing any more.
  const timer = setTimeout(done, endMs);
  stream.once('finish', () => {
    clearTimeout(timer);
    done();
  });
  stream.end();
}
