// The workers' sessions: gRPC streams in, checked messages out.

import { Server, type ServerDuplexStream, type UntypedHandleCall } from '@grpc/grpc-js';
import { exitCodes } from '../../shared/exit-codes.js';
import {
  controlChannelOptions,
  loadControlService,
  toWire,
  type WireMessage,
} from '../../shared/control/codec.js';
import {
  maxWorkers,
  type CoordinatorMessage,
  type WorkerMessage,
} from '../../shared/control/messages.js';
import {
  fromWorker,
  isTraceAnswer,
  type TraceAnswer,
  type TraceOrder,
} from '../../shared/control/tracing.js';
import { boundAnswers, countCalls } from '../../shared/door/answers.js';
import { Door } from '../../shared/door/door.js';
import { writeRefusals, writeSparingly, type Log, type WriteFact } from '../../shared/log.js';
import { OperatorError, messageOf } from '../../shared/problems.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import { isLoopbackDoor } from '../../shared/tls/doors.js';
import { callerProblem } from '../../shared/tls/mutual.js';
import type { CoordinatorEvent } from '../core/state.js';
import type { SessionGuard } from '../guard.js';

type Stream = ServerDuplexStream<WireMessage, WireMessage>;

/** Sessions that are served at once: each worker may have an old one that has not ended yet. */
const maxSessions = 2 * maxWorkers;

/** Who opens a session has so long to say hello. */
const helloMs = 10_000;

/** Messages to a worker that it has not taken: of a world of thousands that is hundreds of MiB. */
const maxUntaken = 256;

/** Bytes of a connection until its hello: that of a world of thousands has 2.5 MiB. */
const helloBytes = 3 * 1024 * 1024;

/** Lines of the log a minute on sessions that open or close. */
const sessionLines = 64;

/** Calls on one connection: a worker has one, and who looks at the run a few. */
const callsAtATime = 16;

/** What the core gets to know of sessions; the first message of a session is its hello. */
type SessionEvent = CoordinatorEvent & { readonly kind: 'message' | 'closed' };
type Listener = (event: SessionEvent) => void;
/** Gets what a worker says of a trace, at once: it measures clocks by it. */
type TraceListener = (worker: string, answer: TraceAnswer) => void;

export interface Sessions {
  /** "host:port" that was bound. */
  readonly address: string;
  /** Starts to serve; who came before is turned away, and dials again. */
  open(listener: Listener, onTrace?: TraceListener): void;
  /** Does nothing when the session is gone. */
  send(session: number, message: CoordinatorMessage | TraceOrder): void;
  /** Ends a session with a reason that the worker ends by. */
  dismiss(session: number, exitCode: number, reason: string): void;
  /** Sends to everyone who is connected, in the world or not. */
  broadcast(message: CoordinatorMessage): void;
  /** Ends all streams, waits for the workers to leave (bounded), closes the server. */
  close(graceMs: number): Promise<void>;
}

/**
 * Binds `listen` ("host:port", port 0 for any) for the control plane and what is added to it. With
 * commas, others follow: they are for operators, and one that can't be bound is left out. With a
 * guard all of them speak TLS, but for those others that only this machine reaches.
 */
export async function createSessions(
  listen: string,
  addServices: (server: Server) => void = () => undefined,
  log?: Log,
  guard?: SessionGuard,
): Promise<Sessions> {
  const open = new Map<number, Stream>();
  const streams = new Set<Stream>();
  /** Ends that the door is told of sessions that are over. */
  const leave = new Map<number, () => void>();
  const warn: WriteFact = log === undefined ? () => undefined : writeSparingly(log.warn);
  const note: WriteFact =
    log === undefined ? () => undefined : writeSparingly(log.info, sessionLines);
  const door = new Door({ unknownBytes: helloBytes }, writeRefusals(warn));
  const server = new Server({
    ...controlChannelOptions,
    'grpc.max_concurrent_streams': callsAtATime,
    interceptors: [boundAnswers(door, '/lockstep.v1.Admin/', ['Trace']), countCalls(door)],
  });
  let listener: Listener | undefined;
  let traceListener: TraceListener = () => undefined;
  let count = 0;
  const session = (stream: Stream): void => {
    if (listener === undefined || streams.size >= maxSessions) {
      warn('session turned away', { sessions: streams.size });
      stream.end();
      return;
    }
    count += 1;
    streams.add(stream);
    stream.once('close', () => streams.delete(stream));
    const problemOf = (worker: string): string | undefined =>
      guard && callerProblem(stream, { run: guard.run, role: 'worker', worker });
    const listeners = { onEvent: listener, onTrace: traceListener };
    serve(stream, count, open, { ...listeners, problemOf, door, leave, warn, note });
  };
  server.addService(loadControlService().service, { session: session as UntypedHandleCall });
  addServices(server);
  const address = await bindAll(door, server, listen, guard?.certificates, warn);
  const write = (stream: Stream, message: CoordinatorMessage | TraceOrder): void => {
    if (stream.writableLength <= maxUntaken) stream.write(toWire(message));
    else door.cut(stream.getPeer(), 'it does not take what is said to it');
  };
  return {
    address,
    open: (given, onTrace) => {
      listener = given;
      traceListener = onTrace ?? traceListener;
    },
    send: (number, message) => {
      const stream = open.get(number);
      if (stream !== undefined) write(stream, message);
    },
    dismiss: (number, exitCode, reason) => {
      const stream = open.get(number);
      stream?.write(toWire({ kind: 'end', exitCode, reason }));
      stream?.end();
      // Who does not go by itself is cut off in the end.
      leave.get(number)?.();
    },
    broadcast: (message) => {
      for (const stream of open.values()) write(stream, message);
    },
    close: async (graceMs) => {
      door.close();
      for (const stream of open.values()) stream.end();
      await shutDown(server, graceMs);
    },
  };
}

/** Binds the places of `listen`, of which only the first must be free, and gives its address. */
async function bindAll(
  door: Door,
  server: Server,
  listen: string,
  certificates: Certificates | undefined,
  warn: WriteFact,
): Promise<string> {
  const [first = '', ...others] = listen.split(',');
  const port = await bind(door, server, first, certificates);
  for (const other of others) {
    const closedBy = isLoopbackDoor({ at: other }) ? undefined : certificates;
    await bind(door, server, other, closedBy).catch((error: unknown) =>
      warn('not bound', { address: other, reason: messageOf(error) }),
    );
  }
  return `${first.slice(0, first.lastIndexOf(':'))}:${port}`;
}

async function bind(
  door: Door,
  server: Server,
  listen: string,
  certificates: Certificates | undefined,
): Promise<number> {
  try {
    return await door.listen(server, listen, certificates);
  } catch (error) {
    throw unbound(listen, error);
  }
}

function unbound(listen: string, error: unknown): OperatorError {
  return new OperatorError('the coordinator can not listen', [
    {
      key: '--listen',
      given: listen,
      allowed: 'an address of this machine and a port that is free (0: any)',
      hint: messageOf(error),
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

interface Reception {
  readonly onEvent: Listener;
  readonly onTrace: TraceListener;
  /** Why who calls is not the worker that it says it is. */
  readonly problemOf: (worker: string) => string | undefined;
  readonly door: Door;
  readonly leave: Map<number, () => void>;
  readonly warn: WriteFact;
  readonly note: WriteFact;
}

function serve(
  stream: Stream,
  session: number,
  open: Map<number, Stream>,
  { onEvent, onTrace, problemOf, door, leave, warn, note }: Reception,
): void {
  let worker: string | undefined;
  let isOver = false;
  const peer = stream.getPeer();
  const refuse = (reason: string): void => {
    warn('session refused', { session, worker, at: peer, reason });
    isOver = true;
    stream.write(toWire({ kind: 'end', exitCode: exitCodes.refused, reason }));
    stream.end();
    closed(reason);
  };
  const timer = setTimeout(() => refuse(`no hello within ${helloMs / 1000} s`), helloMs);
  const closed = (reason: string): void => {
    clearTimeout(timer);
    if (worker === undefined || !open.delete(session)) return;
    leave.get(session)?.();
    leave.delete(session);
    note('session closed', { session, worker, reason });
    onEvent({ kind: 'closed', session, worker, reason });
  };
  const onMessage = (message: WorkerMessage | TraceAnswer): void => {
    if ((message.kind === 'hello') !== (worker === undefined))
      return refuse('the first message of a session, and no other, must be hello');
    if (message.kind === 'hello') {
      const problem = problemOf(message.worker);
      if (problem !== undefined) return refuse(`${message.worker} is not admitted: ${problem}`);
      clearTimeout(timer);
      worker = message.worker;
      open.set(session, stream);
      leave.set(session, door.vouch(peer));
      note('session opened', { session, worker, peer, incarnation: message.incarnation });
    }
    if (worker === undefined) return;
    if (isTraceAnswer(message)) onTrace(worker, message);
    else onEvent({ kind: 'message', session, worker, message });
  };
  stream.on('data', (wire: WireMessage) => {
    if (isOver) return;
    let message: WorkerMessage | TraceAnswer;
    try {
      message = fromWorker(wire);
    } catch (error) {
      return refuse(messageOf(error));
    }
    onMessage(message);
  });
  stream.on('end', () => {
    closed('its process ended');
    stream.end();
  });
  stream.on('error', (error) => closed(error.message));
  stream.on('cancelled', () => closed('its connection was cut'));
}
