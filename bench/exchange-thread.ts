// The network thread of a process of the exchange bench: the exchange on its own server, and on
// those of its further lanes, as a worker has it.

import { Server } from '@grpc/grpc-js';
import { parentPort, workerData } from 'node:worker_threads';

import { Door } from '../shared/door/door.js';
import type { StepShape } from '../shared/plan/step-vector.js';
import { openCertificates } from '../shared/tls/certificates.js';
import type { Step } from '../shared/words.js';
import type { ExchangeEvents, ExchangeWorld } from '../worker/exchange/exchange.js';
import { createGrpcExchange, exchangeServerOptions } from '../worker/exchange/grpc.js';
import { openLanes } from '../worker/exchange/lane-port.js';
import type { OpenLane } from '../worker/exchange/lanes.js';

/** What the thread is started with. */
export interface ThreadData {
  readonly lanes: number;
  readonly worker: string;
  /** Of its certificates; undefined: all is in clear. */
  readonly tlsFolder: string | undefined;
}

export type ThreadTask =
  | { readonly kind: 'join'; readonly world: ExchangeWorld }
  /** A step whose contributions are all there. */
  | {
      readonly kind: 'reduce';
      readonly step: Step;
      readonly shape: StepShape;
      readonly contributions: number;
    };

export type ThreadReport =
  | {
      readonly kind: 'address';
      readonly address: string;
      /** Of the lanes but the first. */
      readonly lanes: readonly string[];
      readonly socket: string | undefined;
    }
  | { readonly kind: 'joined' | 'reduced' };

const report = (message: ThreadReport): void => parentPort?.postMessage(message);

const { lanes: laneCount, worker, tlsFolder } = workerData as ThreadData;
const certificates =
  tlsFolder === undefined
    ? undefined
    : openCertificates({ folder: tlsFolder, holder: { role: 'worker', worker } });
const server = new Server(exchangeServerOptions);
const opened = await openLanes({
  ...{ server, door: new Door({}, () => undefined), certificates, tlsFolder },
  ...{ worker, listen: '127.0.0.1:0', advertise: '127.0.0.1' },
  ...{ lanes: laneCount, logLevel: 'warn' },
});
const events: ExchangeEvents = {
  onJoined: () => report({ kind: 'joined' }),
  onGathered: () => undefined,
  onReduced: () => {
    // All are connected, and the process is to be killed.
    opened.close();
    report({ kind: 'reduced' });
  },
  // The bench has nothing to measure then: the failure ends the thread, and with it the process.
  onPeerLost: (lost) => {
    throw new Error(`${lost.worker} ${lost.reason}`);
  },
};
const first: OpenLane = (heard) => createGrpcExchange({ server, certificates, events: heard });
const exchange = opened.join(first, events);
parentPort?.on('message', (task: ThreadTask) => {
  if (task.kind === 'join') return exchange.join(task.world);
  exchange.begin(task.step, task.shape);
  for (let i = 0; i < task.contributions; i++) exchange.contribute(task.step, i);
});
const { address, lanes, socket } = opened;
report({ kind: 'address', address, lanes, socket });
