// The network thread: the worker's decisions and all of its connections live here, so that
// neither a long native call nor a long sum in the compute thread makes the worker look dead.

import { Server } from '@grpc/grpc-js';
import { hostname } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { processClock } from '../../shared/clock.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { countCalls } from '../../shared/door/answers.js';
import { Door } from '../../shared/door/door.js';
import { createLog, writeRefusals, writeSparingly, type WriteFact } from '../../shared/log.js';
import { messageOf } from '../../shared/problems.js';
import { openCertificates, type Certificates } from '../../shared/tls/certificates.js';
import { createGrpcExchange, exchangeServerOptions } from '../exchange/grpc.js';
import { openLanes } from '../exchange/lane-port.js';
import type { OpenLane } from '../exchange/lanes.js';
import { createNodeTracing } from '../step-trace/node-tracing.js';
import { createGrpcStateClient, createGrpcStateServer } from '../transfer/grpc.js';
import type { WatchedWorker } from './metrics.js';
import { NetworkNode } from './node.js';
import type { NetworkOptions, ToCompute, ToNetwork } from './ports.js';
import { createDial } from './session.js';
import { createTraps, signalSelf } from './traps.js';

const { coordinators, listen, advertise, lanes, logLevel, metrics, tls, ...settings } =
  workerData as NetworkOptions;
const { worker } = settings;
const log = createLog({ name: 'worker', level: logLevel, fields: { worker } });
const port = parentPort;
if (port === null) throw new Error('the network thread is started by the worker');
const toCompute = (message: ToCompute, transfer: readonly ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer);

const tracing = createNodeTracing(processClock, toCompute);
const certificates = tls && openOwn(tls.folder);
/** Of our own port, which is in clear where only the control plane is closed. */
const ofPeers = tls?.scope === 'all' ? certificates : undefined;
const warn = writeSparingly(log.warn);
const note = writeSparingly(log.info);
const noteState: WriteFact = (fact, fields) =>
  fact === 'state refused' ? warn(fact, fields) : note(fact, fields);
const door = new Door({}, writeRefusals(warn));
const server = new Server({ ...exchangeServerOptions, interceptors: [countCalls(door)] });
const opening = openLanes({
  ...{ server, door, worker, listen, advertise, lanes, logLevel, certificates: ofPeers },
  tlsFolder: ofPeers && tls?.folder,
});
const opened = await opening.catch(endUnbound);
const node: NetworkNode = new NetworkNode({
  config: {
    ...{ ...settings, address: opened.address, lanes: opened.lanes, socket: opened.socket },
    ...{ pid: process.pid, host: hostname() },
  },
  ...{ coordinators, clock: processClock, toCompute, log },
  session: {
    dial: createDial(certificates, (address, reason) =>
      log.warn('coordinator not reached', { address, reason }),
    ),
    random: Math.random,
  },
  tracing,
  createExchange: (given) => {
    // A trace shows the first lane: the others do the same at the same time.
    const { recordStep } = tracing;
    const first: OpenLane = (events) =>
      createGrpcExchange({ server, door, certificates: ofPeers, events, recordStep, log: warn });
    return opened.join(first, given);
  },
  stateServer: createGrpcStateServer(
    server,
    { toCompute, certificates: ofPeers, log: noteState },
    door,
  ),
  stateClient: createGrpcStateClient({
    ...{ worker, toCompute, certificates: ofPeers },
    workerAt: (address) =>
      node.state.world.members.find((member) => member.address === address)?.worker,
  }),
  traps: createTraps(signalSelf(worker)),
  onEnd: (end) => {
    door.close();
    server.forceShutdown();
    opened.close();
    certificates?.close();
    toCompute(end);
    port.close();
  },
});
const watched = metrics === undefined ? undefined : await watch(metrics);
port.on('message', (message: ToNetwork) => {
  node.onCompute(message);
  watched?.onCompute(message);
});

function openOwn(folder: string): Certificates {
  const onNotice = (text: string): void => log.warn('certificates', { text });
  try {
    return openCertificates({ folder, holder: { role: 'worker', worker }, onNotice });
  } catch (error) {
    return endUnbound(error);
  }
}

/** The library is loaded by those only that are to be watched. */
async function watch(place: string): Promise<WatchedWorker> {
  const { watchWorker } = await import('./metrics.js');
  return watchWorker({ listen: place, certificates, coordinators, state: node.state, log });
}

/** The main thread prints the reason, and the process ends. */
function endUnbound(error: unknown): never {
  const reason = messageOf(error);
  toCompute({ kind: 'end', exitCode: exitCodes.configuration, reason });
  process.exit();
}
