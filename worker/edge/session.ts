// The worker's end of its session with the coordinator: one stream, checked messages.

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

export interface SessionHandlers {
  onOpen(): void;
  onMessage(message: CoordinatorMessage): void;
  /** At most once; nothing follows. */
  onLost(reason: string): void;
}

export interface Session {
  send(message: WorkerMessage): void;
  /** Ends the stream after what was sent, and the connection. */
  close(): Promise<void>;
}

type Stream = ClientDuplexStream<WireMessage, WireMessage>;

/** Opens a session at `address`, waiting up to `connectTimeoutMs` for the coordinator. */
export function openSession(
  address: string,
  connectTimeoutMs: number,
  handlers: SessionHandlers,
): Session {
  const Control = loadControlService();
  const client = new Control(address, credentials.createInsecure(), controlChannelOptions);
  let stream: Stream | undefined;
  let isLost = false;
  const lose = (reason: string): void => {
    if (isLost) return;
    isLost = true;
    handlers.onLost(reason);
  };
  client.waitForReady(Date.now() + connectTimeoutMs, (error) => {
    if (isLost) return;
    if (error) return lose(`${address} did not answer within ${connectTimeoutMs / 1000} s`);
    stream = (client as unknown as { session(): Stream }).session();
    stream.on('data', (wire: WireMessage) => {
      try {
        handlers.onMessage(fromWire(coordinatorMessageSchema, wire));
      } catch (problem) {
        lose(problem instanceof Error ? problem.message : String(problem));
      }
    });
    stream.on('error', (problem) => lose(problem.message));
    stream.on('end', () => lose('it closed the session'));
    handlers.onOpen();
  });
  return {
    send: (message) => {
      if (!isLost) stream?.write(toWire(message));
    },
    close: () =>
      new Promise((resolve) => {
        isLost = true;
        const done = (): void => {
          client.close();
          resolve();
        };
        if (stream === undefined || stream.destroyed) return done();
        stream.once('finish', done);
        stream.end();
      }),
  };
}
