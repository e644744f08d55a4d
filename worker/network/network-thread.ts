// The network thread: the worker's decisions and all of its connections live here, so that
// neither a long native call nor a long sum in the compute thread makes the worker look dead.

import { Server, ServerCredentials } from '@grpc/grpc-js';
import { parentPort, workerData } from 'node:worker_threads';
import type { ExchangeWorld } from '../exchange/exchange.js';
import { createExchange } from '../exchange/create-exchange.js';
import { exchangeServerOptions } from '../exchange/service.js';
import { initialWorkerState, type WorkerEffect, type WorkerEvent } from '../core/state.js';
import { transition } from '../core/transition.js';
import { openSession } from '../edge/session.js';
import type { NetworkOptions, ToCompute, ToNetwork } from './ports.js';

/** How long the coordinator may take to come up. */
const connectTimeoutMs = 30_000;

/** Interval of the heartbeats. */
const heartbeatMs = 500;

type Vectors = Pick<ExchangeWorld, 'microShards' | 'contributions' | 'results'>;

const options = workerData as NetworkOptions;
const port = parentPort;
if (port === null) throw new Error('the network thread is started by the worker');
const toCompute = (message: ToCompute): void => port.postMessage(message);

const server = new Server(exchangeServerOptions);
const exchange = createExchange({ server });
const address = `${options.advertise}:${await bind(server, options.listen)}`;
const { worker, incarnation, fingerprint } = options;
let state = initialWorkerState({ worker, incarnation, address, fingerprint });
let vectors: Vectors | undefined;

const session = openSession(options.coordinator, connectTimeoutMs, {
  onOpen: () => dispatch({ kind: 'sessionOpened' }),
  onMessage: (message) => dispatch({ kind: 'message', message }),
  onLost: (reason) => dispatch({ kind: 'sessionLost', reason }),
});
const timer = setInterval(() => dispatch({ kind: 'tick' }), heartbeatMs);
exchange.onPeerLost(({ worker: peer, reason }) =>
  dispatch({ kind: 'peerLost', worker: peer, reason }),
);
port.on('message', onCompute);

function dispatch(event: WorkerEvent): void {
  const decision = transition(state, event);
  state = decision.state;
  for (const effect of decision.effects) perform(effect);
}

function perform(effect: WorkerEffect): void {
  switch (effect.kind) {
    case 'send':
      return session.send(effect.message);
    case 'join':
      return join(effect);
    case 'end':
      return void leave(effect);
    case 'abort':
    case 'prepare':
    case 'save':
    case 'train':
    case 'voteStop':
      return toCompute(effect);
  }
}

function join({ world, rank }: WorkerEffect & { kind: 'join' }): void {
  if (vectors === undefined) throw new Error('vectors come before the world is joined');
  const { generation, members } = world;
  exchange.join({ world: { generation, members }, rank, ...vectors }).then(
    () => dispatch({ kind: 'joined' }),
    // The peer that could not be reached was named by onPeerLost.
    () => undefined,
  );
}

function onCompute(message: ToNetwork): void {
  switch (message.kind) {
    case 'prepared':
      vectors = message;
      return dispatch({ kind: 'prepared' });
    case 'reduce':
      return reduce(message.step, message.floats);
    case 'activity':
    case 'tell':
    case 'halted':
    case 'failed':
    case 'stopAsked':
      return dispatch(message);
  }
}

function reduce(step: number, floats: number): void {
  exchange.allReduce(step, floats).then(
    () => toCompute({ kind: 'reduced', step }),
    // A lost peer: the coordinator is told and answers with an abort.
    () => undefined,
  );
}

async function leave(end: WorkerEffect & { kind: 'end' }): Promise<void> {
  clearInterval(timer);
  await session.close();
  await exchange.close();
  server.forceShutdown();
  toCompute(end);
  port?.close();
}

function bind(grpcServer: Server, listen: string): Promise<number> {
  return new Promise((resolve, reject) => {
    grpcServer.bindAsync(listen, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}
