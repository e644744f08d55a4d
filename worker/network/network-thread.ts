// The network thread: the worker's decisions and all of its connections live here, so that
// neither a long native call nor a long sum in the compute thread makes the worker look dead.

import { Server, ServerCredentials } from '@grpc/grpc-js';
import { hostname } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { processClock } from '../../shared/clock.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { createLog } from '../../shared/log.js';
import { OperatorError, messageOf } from '../../shared/problems.js';
import { createGrpcExchange, exchangeServerOptions } from '../exchange/grpc.js';
import { createNodeTracing } from '../step-trace/node-tracing.js';
import { createGrpcStateClient, createGrpcStateServer } from '../transfer/grpc.js';
import type { WatchedWorker } from './metrics.js';
import { NetworkNode } from './node.js';
import type { NetworkOptions, ToCompute, ToNetwork } from './ports.js';
import { dialCoordinator } from './session.js';
import { createTraps, signalSelf } from './traps.js';

const { coordinators, listen, advertise, logLevel, metrics, ...settings } =
  workerData as NetworkOptions;
const { worker } = settings;
const log = createLog({ name: 'worker', level: logLevel, fields: { worker } });
const port = parentPort;
if (port === null) throw new Error('the network thread is started by the worker');
const toCompute = (message: ToCompute, transfer: readonly ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer);

const tracing = createNodeTracing(processClock, toCompute);
const server = new Server(exchangeServerOptions);
const address = await bind().catch(endUnbound);
const node = new NetworkNode({
  config: { ...settings, address, pid: process.pid, host: hostname() },
  ...{ coordinators, clock: processClock, toCompute, log },
  session: { dial: dialCoordinator, random: Math.random },
  tracing,
  createExchange: (events) => {
    const { recordStep } = tracing;
    return createGrpcExchange({ server, events, recordStep, log: log.warn });
  },
  stateServer: createGrpcStateServer(server, { toCompute }),
  stateClient: createGrpcStateClient({ worker, toCompute }),
  traps: createTraps(signalSelf(worker)),
  onEnd: (end) => {
    server.forceShutdown();
    toCompute(end);
    port.close();
  },
});
const watched = metrics === undefined ? undefined : await watch(metrics);
port.on('message', (message: ToNetwork) => {
  node.onCompute(message);
  watched?.onCompute(message);
});

/** The library is loaded by those only that are to be watched. */
async function watch(place: string): Promise<WatchedWorker> {
  const { watchWorker } = await import('./metrics.js');
  return watchWorker({ listen: place, coordinators, state: node.state, log });
}

/**
 * Binds `listen` ("host:port", port 0 for any); gives "host:port" with the host that peers use, an
 * IPv6 address in brackets. An OperatorError says why it can't be bound.
 */
function bind(): Promise<string> {
  const host = advertise.includes(':') && !advertise.startsWith('[') ? `[${advertise}]` : advertise;
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error, chosen) =>
      error === null ? resolve(`${host}:${chosen}`) : reject(unbound(error)),
    );
  });
}

function unbound(error: Error): OperatorError {
  return new OperatorError('the worker can not listen', [
    {
      key: '--listen',
      given: listen,
      allowed: 'an address of this machine and a port that is free (0: any)',
      hint: error.message,
    },
  ]);
}

/** The main thread prints the reason, and the process ends. */
function endUnbound(error: unknown): never {
  const reason = messageOf(error);
  toCompute({ kind: 'end', exitCode: exitCodes.configuration, reason });
  process.exit();
}
