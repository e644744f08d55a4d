// The network thread: the worker's decisions and all of its connections live here, so that
// neither a long native call nor a long sum in the compute thread makes the worker look dead.

import { Server } from '@grpc/grpc-js';
import { hostname } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { exitCodes } from '../../shared/exit-codes.js';
import { createExchange } from '../exchange/create-exchange.js';
import { PeerLostError, type Reduced } from '../exchange/exchange.js';
import { exchangeServerOptions } from '../exchange/service.js';
import { initialWorkerState, type WorkerEffect, type WorkerEvent } from '../core/state.js';
import { transition } from '../core/transition.js';
import { openSession } from '../edge/session.js';
import { createStateClient } from '../transfer/state-client.js';
import { createStateServer } from '../transfer/state-server.js';
import { bindWorker } from './bind.js';
import { standStill } from './faults.js';
import type { NetworkOptions, ToCompute, ToNetwork, WorldVectors } from './ports.js';
import { createTraps, signalSelf } from './traps.js';

/** Interval of the heartbeats. */
const heartbeatMs = 250;

const options = workerData as NetworkOptions;
const port = parentPort;
if (port === null) throw new Error('the network thread is started by the worker');
const toCompute = (message: ToCompute, transfer: readonly ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer);

const { worker, incarnation, patienceMs, drainMs, allowsFaults } = options;
const server = new Server(exchangeServerOptions);
const exchange = createExchange({ server });
const stateServer = createStateServer({ server, toCompute });
const stateClient = createStateClient({ worker, toCompute });
const address = await bindWorker(server, options.listen, options.advertise).catch(endUnbound);
const identity = { worker, incarnation, address, pid: process.pid, host: hostname() };
const traps = createTraps(signalSelf(worker));
const limits = { patienceMs, drainMs, allowsFaults };
const state = initialWorkerState({ ...identity, ...limits }, performance.now());
let vectors: WorldVectors | undefined;
/** Whom the step reduced last waited for. */
let reduced: Reduced = { waitedFor: undefined, waitedMs: 0 };

const session = openSession(options.coordinators, {
  onOpen: () => dispatch({ kind: 'sessionOpened' }),
  onMessage: (message) => dispatch({ kind: 'message', message }),
  onLost: (reason) => dispatch({ kind: 'sessionLost', reason }),
});
const timer = setInterval(() => dispatch({ kind: 'tick' }), heartbeatMs);
exchange.onPeerLost(({ generation, worker: peer, reason }) =>
  dispatch({ kind: 'peerLost', generation, worker: peer, reason }),
);
port.on('message', onCompute);

/** The main thread prints the reason, and the process ends. */
function endUnbound(error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error);
  toCompute({ kind: 'end', exitCode: exitCodes.configuration, reason });
  process.exit();
}

function dispatch(event: WorkerEvent): void {
  for (const effect of transition(state, event, performance.now())) perform(effect);
}

function perform(effect: WorkerEffect): void {
  switch (effect.kind) {
    case 'send':
      return session.send(effect.message);
    case 'redial':
      return session.redial();
    case 'enter':
      toCompute(effect);
      // After the order, which comes before whatever a peer that was held is served.
      return stateServer.setGeneration(effect.generation);
    case 'join':
      return join(effect);
    case 'fault':
      return inject(effect.fault);
    case 'end':
      return void leave(effect);
    case 'abort':
    case 'finish':
    case 'prepare':
    case 'train':
    case 'voteStop':
      return toCompute(effect);
  }
}

function join({ world, rank }: WorkerEffect & { kind: 'join' }): void {
  if (vectors === undefined) throw new Error('vectors come before the world is joined');
  const { generation, members, step } = world;
  traps.reach('connect', step);
  exchange.join({ world: { generation, members }, rank, ...vectors }).then(
    () => dispatch({ kind: 'joined', generation }),
    // The peer that could not be reached was named by onPeerLost.
    () => undefined,
  );
}

function onCompute(message: ToNetwork): void {
  switch (message.kind) {
    case 'entered':
      vectors = message.vectors;
      return dispatch({ kind: 'entered', generation: message.generation });
    case 'reduce':
      return reduce(message.step, message.floats);
    case 'paced':
      return dispatch({ kind: 'paced', pace: { ...message, ...waiting() } });
    case 'fetchState':
      return stateClient.fetch(message);
    case 'stateTaken':
      return stateClient.taken();
    case 'dropState':
      return stateClient.drop();
    case 'servedHeader':
    case 'servedChunk':
    case 'serveRefused':
      return stateServer.onCompute(message);
    case 'ready':
    case 'enterFailed':
    case 'activity':
    case 'tell':
    case 'halted':
    case 'finished':
    case 'failed':
    case 'stopAsked':
      return dispatch(message);
  }
}

function waiting(): { waitedFor: string; waitedS: number } {
  const { waitedFor, waitedMs } = reduced;
  const peer = waitedFor === undefined ? undefined : state.world.members[waitedFor];
  return { waitedFor: peer?.worker ?? '', waitedS: waitedMs / 1000 };
}

function reduce(step: number, floats: number): void {
  const { generation } = state.world;
  // A step that was given up since, or belongs to an earlier world, concerns nobody any more.
  const isWanted = (): boolean =>
    state.world.generation === generation && state.stage === 'training';
  exchange.allReduce(step, floats).then(
    (result) => {
      reduced = result;
      if (isWanted()) toCompute({ kind: 'reduced', step });
    },
    (error: unknown) => {
      // A lost peer: the coordinator is told and answers with an abort.
      if (error instanceof PeerLostError || !isWanted()) return;
      const reason = error instanceof Error ? error.message : String(error);
      dispatch({ kind: 'failed', reason, exitCode: exitCodes.failed });
    },
  );
}

function inject({ fault, seconds, peer, trap }: (WorkerEffect & { kind: 'fault' })['fault']): void {
  switch (fault) {
    case 'flip':
      return toCompute({ kind: 'flip' });
    case 'mute':
      return exchange.mute(peer, 1000 * seconds);
    case 'freeze':
      return standStill(1000 * seconds);
    case 'trap':
      if (trap === undefined) return;
      traps.set(trap);
      return toCompute({ kind: 'trap', trap });
  }
}

async function leave(end: WorkerEffect & { kind: 'end' }): Promise<void> {
  clearInterval(timer);
  stateClient.drop();
  stateServer.close();
  await session.close();
  await exchange.close();
  server.forceShutdown();
  toCompute(end);
  port?.close();
}
