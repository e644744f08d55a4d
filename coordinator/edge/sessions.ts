// The workers' sessions: gRPC streams in, checked messages out. It knows who is connected and
// nothing of what their messages mean.

import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { exitCodes } from '../../shared/exit-codes.js';
import {
  controlChannelOptions,
  fromWire,
  loadControlService,
  toWire,
  type WireMessage,
} from '../../shared/control/codec.js';
import {
  workerMessageSchema,
  type CoordinatorMessage,
  type WorkerMessage,
} from '../../shared/control/messages.js';
import { OperatorError } from '../../shared/problems.js';

type Stream = ServerDuplexStream<WireMessage, WireMessage>;

/** Connections that are served at once; more are refused. */
const maxSessions = 4096;

export interface SessionHandlers {
  /** A checked message; the first of a session is its hello. */
  onMessage(worker: string, message: WorkerMessage): void;
  onClosed(worker: string, reason: string): void;
}

export interface Sessions {
  /** "host:port" that was bound. */
  readonly address: string;
  /** Does nothing when the worker is gone. */
  send(worker: string, message: CoordinatorMessage): void;
  /** Tells everyone who is connected, in the world or not. */
  broadcast(message: CoordinatorMessage): void;
  /** Ends all streams, waits for the workers to leave (bounded), closes the server. */
  close(graceMs: number): Promise<void>;
}

/** Serves the control plane at `listen` ("host:port", port 0 for any). */
export async function createSessions(listen: string, handlers: SessionHandlers): Promise<Sessions> {
  const streams = new Map<string, Stream>();
  const server = new Server(controlChannelOptions);
  const session = (stream: Stream): void => serve(stream, streams, handlers);
  server.addService(loadControlService().service, { session: session as UntypedHandleCall });
  const port = await bind(server, listen);
  return {
    address: `${listen.slice(0, listen.lastIndexOf(':'))}:${port}`,
    send: (worker, message) => {
      streams.get(worker)?.write(toWire(message));
    },
    broadcast: (message) => {
      for (const stream of streams.values()) stream.write(toWire(message));
    },
    close: async (graceMs) => {
      for (const stream of streams.values()) stream.end();
      await shutDown(server, graceMs);
    },
  };
}

function bind(server: Server, listen: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(unbound(listen, error)),
    );
  });
}

function unbound(listen: string, error: Error): OperatorError {
  return new OperatorError('the coordinator can not listen', [
    {
      key: '--listen',
      given: listen,
      allowed: 'an address of this machine and a port that is free (0: any)',
      hint: error.message,
    },
  ]);
}

function shutDown(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function serve(stream: Stream, streams: Map<string, Stream>, handlers: SessionHandlers): void {
  let worker: string | undefined;
  const refuse = (reason: string): void => {
    stream.write(toWire({ kind: 'end', exitCode: exitCodes.configuration, reason }));
    stream.end();
  };
  const closed = (reason: string): void => {
    if (worker === undefined || streams.get(worker) !== stream) return;
    streams.delete(worker);
    handlers.onClosed(worker, reason);
  };
  const welcome = (message: WorkerMessage): string | undefined => {
    if (message.kind !== 'hello') refuse('the first message of a session must be hello');
    else if (streams.size >= maxSessions) refuse(`there are ${maxSessions} sessions already`);
    else if (streams.has(message.worker))
      refuse(`a worker named ${message.worker} has joined already: give each its own --id`);
    else {
      streams.set(message.worker, stream);
      return message.worker;
    }
    return undefined;
  };
  stream.on('data', (wire: WireMessage) => {
    let message: WorkerMessage;
    try {
      message = fromWire(workerMessageSchema, wire);
    } catch (error) {
      return refuse(error instanceof Error ? error.message : String(error));
    }
    worker ??= welcome(message);
    if (worker !== undefined) handlers.onMessage(worker, message);
  });
  stream.on('end', () => {
    closed('its process ended');
    stream.end();
  });
  stream.on('error', (error) => closed(error.message));
  stream.on('cancelled', () => closed('its connection was cut'));
}
