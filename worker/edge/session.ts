// The worker's end of its session with the coordinator: one stream, checked messages. When the
// stream ends it dials again, address after address, for as long as it is not closed.

import { credentials, type ClientDuplexStream } from '@grpc/grpc-js';
import {
  controlChannelOptions,
  fromWire,
  loadControlService,
  toWire,
  type WireMessage,
} from '../../shared/control/codec.js';
import {
  coordinatorMessageSchema,
  type CoordinatorMessage,
  type WorkerMessage,
} from '../../shared/control/messages.js';

/** How long one address may take to answer. */
const dialMs = 2_000;

/** Pause before the next address; grows while none answers. */
const firstPauseMs = 100;
const longestPauseMs = 1_000;

/** An address that has answered nothing for so long is given up: a coordinator welcomes. */
const welcomeMs = 5_000;

export interface SessionHandlers {
  onOpen(): void;
  onMessage(message: CoordinatorMessage): void;
  /** The session that was opened last is over; another is tried. */
  onLost(reason: string): void;
}

export interface Session {
  /** Does nothing while there is no session. */
  send(message: WorkerMessage): void;
  /** Gives up this session and dials on. */
  redial(): void;
  /** Ends the stream after what was sent, and the connection. */
  close(): Promise<void>;
}

type Stream = ClientDuplexStream<WireMessage, WireMessage>;

/** One dialled address; its callbacks are silent once it is dropped. */
interface Line {
  readonly stream: Stream | undefined;
  drop(): void;
  end(): Promise<void>;
}

/** Keeps a session with whichever of the `addresses` answers. */
export function openSession(addresses: readonly string[], handlers: SessionHandlers): Session {
  let turn = 0;
  let pauseMs = firstPauseMs;
  let line: Line | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isOpen = false;
  let isClosed = false;

  const next = (reason: string): void => {
    line?.drop();
    line = undefined;
    if (isClosed) return;
    if (isOpen) handlers.onLost(reason);
    isOpen = false;
    turn += 1;
    timer = setTimeout(dial, pauseMs * (0.5 + Math.random() / 2));
    pauseMs = Math.min(longestPauseMs, 2 * pauseMs);
  };
  const dial = (): void => {
    const address = addresses[turn % addresses.length] ?? '';
    line = dialAddress(address, {
      onOpen: () => {
        isOpen = true;
        handlers.onOpen();
      },
      onMessage: (message) => {
        pauseMs = firstPauseMs;
        handlers.onMessage(message);
      },
      onLost: next,
    });
  };
  dial();
  return {
    send: (message) => {
      if (isOpen) line?.stream?.write(toWire(message));
    },
    redial: () => next('another coordinator leads'),
    close: async () => {
      isClosed = true;
      clearTimeout(timer);
      await line?.end();
    },
  };
}

/** Dials one address; `onLost` is called at most once, and nothing after it or after `drop`. */
function dialAddress(address: string, handlers: SessionHandlers): Line {
  const Control = loadControlService();
  const client = new Control(address, credentials.createInsecure(), controlChannelOptions);
  let stream: Stream | undefined;
  let isOver = false;
  let welcome: NodeJS.Timeout | undefined;
  const drop = (): void => {
    isOver = true;
    clearTimeout(welcome);
    stream?.cancel();
    client.close();
  };
  const lose = (reason: string): void => {
    if (isOver) return;
    drop();
    handlers.onLost(reason);
  };
  const open = (): void => {
    stream = (client as unknown as { session(): Stream }).session();
    stream.on('data', (wire: WireMessage) => {
      if (isOver) return;
      clearTimeout(welcome);
      try {
        handlers.onMessage(fromWire(coordinatorMessageSchema, wire));
      } catch (problem) {
        lose(problem instanceof Error ? problem.message : String(problem));
      }
    });
    stream.on('error', (problem) => lose(problem.message));
    stream.on('end', () => lose('it closed the session'));
    welcome = setTimeout(() => lose(`no answer within ${welcomeMs / 1000} s`), welcomeMs);
    handlers.onOpen();
  };
  client.waitForReady(Date.now() + dialMs, (error) => {
    if (isOver) return;
    if (error) lose(`${address} did not answer within ${dialMs / 1000} s`);
    else open();
  });
  return {
    get stream() {
      return stream;
    },
    drop,
    end: () => endStream(stream, drop),
  };
}

function endStream(stream: Stream | undefined, drop: () => void): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      drop();
      resolve();
    };
    if (stream === undefined || stream.destroyed) return done();
    // A coordinator that is gone takes nothing any more.
    const timer = setTimeout(done, 1_000);
    stream.once('finish', () => {
      clearTimeout(timer);
      done();
    });
    stream.end();
  });
}
