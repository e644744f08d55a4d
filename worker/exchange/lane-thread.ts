// The thread of a lane: an exchange on a server of its own, driven by the network thread.

import { Server } from '@grpc/grpc-js';
import { parentPort, workerData } from 'node:worker_threads';

import { countCalls } from '../../shared/door/answers.js';
import { Door } from '../../shared/door/door.js';
import { createLog, writeRefusals, writeSparingly } from '../../shared/log.js';
import { OperatorError } from '../../shared/problems.js';
import { openCertificates } from '../../shared/tls/certificates.js';
import { bindExchange, createGrpcExchange, exchangeServerOptions } from './grpc.js';
import type { FromLane, LaneOptions, ToLane } from './lane-port.js';
import { listenLocally } from './local-sockets.js';

const { worker, lane, listen, advertise, socket, limits, logLevel, tlsFolder } =
  workerData as LaneOptions;
const log = createLog({ name: 'worker', level: logLevel, fields: { worker, lane } });
const port = parentPort;
if (port === null) throw new Error('a lane is started by the network thread');
const report = (message: FromLane): void => port.postMessage(message);

// What becomes of its files the network thread says.
const certificates =
  tlsFolder === undefined
    ? undefined
    : openCertificates({ folder: tlsFolder, holder: { role: 'worker', worker } });
const warn = writeSparingly(log.warn);
const door = new Door({}, writeRefusals(warn));
const server = new Server({ ...exchangeServerOptions, interceptors: [countCalls(door)] });
const exchange = createGrpcExchange({
  ...{ server, door, certificates, limits: limits ?? {}, log: warn },
  events: {
    onJoined: (generation) => report({ kind: 'joined', generation }),
    onGathered: (generation, step) => report({ kind: 'gathered', generation, step }),
    onReduced: (generation, step, cost) => report({ kind: 'reduced', generation, step, cost }),
    onPeerLost: (lost) => report({ kind: 'lost', lost }),
  },
});

await listenLocally(server, socket, lane);
try {
  const address = await bindExchange(server, door, listen, advertise, certificates);
  report({ kind: 'bound', address });
  port.on('message', perform);
} catch (error) {
  if (!(error instanceof OperatorError)) throw error;
  report({ kind: 'unbound', reason: error.message });
}

function perform(message: ToLane): void {
  switch (message.kind) {
    case 'join':
      return exchange.join(message.world);
    case 'leave':
      return exchange.leave(() => report({ kind: 'left' }));
    case 'begin':
      return exchange.begin(message.step, message.shape);
    case 'contribute':
      return exchange.contribute(message.step, message.index);
    case 'publish':
      return exchange.publish(message.step, message.leaf);
    case 'mute':
      return exchange.mute(message.worker, message.ms);
    case 'close':
      return exchange.close(end);
  }
}

function end(): void {
  report({ kind: 'closed' });
  door.close();
  server.forceShutdown();
  certificates?.close();
  port?.close();
}
