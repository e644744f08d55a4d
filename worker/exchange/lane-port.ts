// The lanes of a worker as who holds the first one opens them: each further one on a thread of its
// own, and the messages between the two.

import type { Server } from '@grpc/grpc-js';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import { processClock } from '../../shared/clock.js';
import type { Door } from '../../shared/door/door.js';
import type { LogLevel } from '../../shared/environment.js';
import { OperatorError } from '../../shared/problems.js';
import type { StepShape } from '../../shared/plan/step-vector.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import type { Generation, Leaf, Step } from '../../shared/words.js';
import type {
  ExchangeCost,
  ExchangeEvents,
  ExchangeWorld,
  PeerLost,
  WorkerExchange,
} from './exchange.js';
import { bindExchange } from './grpc.js';
import { joinLanes, type Lane, type OpenLane } from './lanes.js';
import type { ExchangeLimits } from './limits.js';
import { createSocketFolder, listenLocally, removeLeftFolders } from './local-sockets.js';

/** What a lane's thread is started with. */
export interface LaneOptions {
  readonly worker: string;
  /** Its number, from 1. */
  readonly lane: number;
  /** "host:port" to serve the lane at; port 0 for any. */
  readonly listen: string;
  /** Host that peers reach this worker by. */
  readonly advertise: string;
  /** The folder of the worker's Unix sockets. */
  readonly socket?: string | undefined;
  readonly limits?: Partial<ExchangeLimits>;
  readonly logLevel: LogLevel;
  /** The folder of the worker's certificates, which each lane opens; undefined: all is in clear. */
  readonly tlsFolder?: string | undefined;
}

/** The calls of a `Lane`, posted. */
export type ToLane =
  | { readonly kind: 'join'; readonly world: ExchangeWorld }
  | { readonly kind: 'leave' }
  | { readonly kind: 'begin'; readonly step: Step; readonly shape: StepShape }
  | { readonly kind: 'contribute'; readonly step: Step; readonly index: number }
  | { readonly kind: 'publish'; readonly step: Step; readonly leaf: Leaf }
  | { readonly kind: 'mute'; readonly worker: string; readonly ms: number }
  | { readonly kind: 'close' };

/**
 * First `bound` or `unbound`; then the events of the exchange, `left` for every `leave`, and at the
 * end `closed`.
 */
export type FromLane =
  | { readonly kind: 'bound'; readonly address: string }
  | { readonly kind: 'unbound'; readonly reason: string }
  | { readonly kind: 'joined'; readonly generation: Generation }
  | { readonly kind: 'gathered'; readonly generation: Generation; readonly step: Step }
  | {
      readonly kind: 'reduced';
      readonly generation: Generation;
      readonly step: Step;
      readonly cost: ExchangeCost;
    }
  | { readonly kind: 'lost'; readonly lost: PeerLost }
  | { readonly kind: 'left' }
  | { readonly kind: 'closed' };

/** What a worker's lanes are opened with. */
export interface LanesOptions extends Pick<
  LaneOptions,
  'worker' | 'advertise' | 'logLevel' | 'tlsFolder'
> {
  /** Of the first lane, owned by the caller (`exchangeServerOptions`). */
  readonly server: Server;
  /** Of the first lane, from that folder. */
  readonly certificates?: Certificates | undefined;
  /** Where that server listens. */
  readonly door: Door;
  /** "host:port" of the first lane; others have the ports behind it, or any where that is 0. */
  readonly listen: string;
  /** How many, from 1. */
  readonly lanes: number;
}

/** Lanes that listen, and what peers are told of them. */
export interface OpenedLanes {
  /** "host:port" of the first lane. */
  readonly address: string;
  /** Of the others, in order. */
  readonly lanes: readonly string[];
  /** The folder of the Unix sockets; undefined where there is none. */
  readonly socket: string | undefined;
  /** The exchange on all of them; `first` opens the first lane on its server. */
  join(first: OpenLane, events: ExchangeEvents): WorkerExchange;
  /** Removes the sockets' folder. */
  close(): void;
}

/** Has all lanes listen; an OperatorError says why one can't. */
export async function openLanes(options: LanesOptions): Promise<OpenedLanes> {
  const { server, door, certificates, lanes, listen, ...common } = options;
  const address = await bindExchange(server, door, listen, common.advertise, certificates);
  const colon = listen.lastIndexOf(':');
  const [host, port] = [listen.slice(0, colon), Number(listen.slice(colon + 1))];
  // Where peers are to take another way than to where this worker listens there is no short cut.
  const isHere = ['0.0.0.0', '[::]', '', common.advertise].includes(host);
  const sockets = isHere ? createSocketFolder() : undefined;
  const socket = sockets?.name;
  await listenLocally(server, socket, 0);
  if (sockets !== undefined) void removeLeftFolders();
  const start = (lane: number): Promise<StartedLane> =>
    startLane({ ...common, lane, socket, listen: `${host}:${port === 0 ? 0 : port + lane}` });
  try {
    const more = await Promise.all(Array.from({ length: lanes - 1 }, (_, i) => start(i + 1)));
    return {
      ...{ address, lanes: more.map((one) => one.address), socket },
      join: (first, events) =>
        more.length === 0
          ? first(events)
          : joinLanes([first, ...more.map(({ open }) => open)], events, processClock),
      close: () => sockets?.close(),
    };
  } catch (error) {
    sockets?.close();
    throw error;
  }
}

/** A lane whose thread listens. */
export interface StartedLane {
  /** "host:port" that peers reach it by. */
  readonly address: string;
  readonly open: OpenLane;
}

/**
 * Starts a lane's thread, which ends when the lane is closed. An OperatorError says why it can't
 * listen; what goes wrong in it later is thrown here.
 */
export async function startLane(options: LaneOptions): Promise<StartedLane> {
  const thread = new Worker(new URL('./lane-thread.js', import.meta.url), { workerData: options });
  const [first] = (await once(thread, 'message')) as [FromLane];
  if (first.kind === 'unbound') throw new OperatorError(first.reason, []);
  if (first.kind !== 'bound') throw new Error(`a lane began with ${first.kind}`);
  thread.on('error', (error) => {
    throw error;
  });
  return { address: first.address, open: (events) => laneOn(thread, events) };
}

function laneOn(thread: Worker, events: ExchangeEvents): Lane {
  const leaving: (() => void)[] = [];
  let onClosed: (() => void) | undefined;
  thread.on('message', (message: FromLane) => {
    if (message.kind === 'joined') events.onJoined(message.generation);
    else if (message.kind === 'gathered') events.onGathered(message.generation, message.step);
    else if (message.kind === 'reduced')
      events.onReduced(message.generation, message.step, message.cost);
    else if (message.kind === 'lost') events.onPeerLost(message.lost);
    else if (message.kind === 'left') leaving.shift()?.();
    else if (message.kind === 'closed') onClosed?.();
  });
  const post = (message: ToLane): void => thread.postMessage(message);
  return {
    join: (world) => post({ kind: 'join', world }),
    leave: (onLeft) => {
      leaving.push(onLeft);
      post({ kind: 'leave' });
    },
    begin: (step, shape) => post({ kind: 'begin', step, shape }),
    contribute: (step, index) => post({ kind: 'contribute', step, index }),
    publish: (step, leaf) => post({ kind: 'publish', step, leaf }),
    mute: (worker, ms) => post({ kind: 'mute', worker, ms }),
    close: (closed) => {
      if (onClosed !== undefined) return closed();
      onClosed = closed;
      post({ kind: 'close' });
    },
  };
}
