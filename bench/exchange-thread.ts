// The network thread of a process of the exchange bench: the exchange on its own server.

import { Server, ServerCredentials } from '@grpc/grpc-js';
import { parentPort } from 'node:worker_threads';

import type { Step } from '../shared/words.js';
import type { ExchangeWorld } from '../worker/exchange/exchange.js';
import { createGrpcExchange, exchangeServerOptions } from '../worker/exchange/grpc.js';

export type ThreadTask =
  | { readonly kind: 'join'; readonly world: ExchangeWorld }
  | { readonly kind: 'reduce'; readonly step: Step; readonly floats: number };

export type ThreadReport =
  { readonly kind: 'address'; readonly address: string } | { readonly kind: 'joined' | 'reduced' };

const report = (message: ThreadReport): void => parentPort?.postMessage(message);

const server = new Server(exchangeServerOptions);
const exchange = createGrpcExchange({
  server,
  events: {
    onJoined: () => report({ kind: 'joined' }),
    onReduced: () => report({ kind: 'reduced' }),
    // The bench has nothing to measure then: the failure ends the thread, and with it the process.
    onPeerLost: ({ worker, reason }) => {
      throw new Error(`${worker} ${reason}`);
    },
  },
});
parentPort?.on('message', (task: ThreadTask) => {
  if (task.kind === 'join') exchange.join(task.world);
  else exchange.allReduce(task.step, task.floats);
});
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  report({ kind: 'address', address: `127.0.0.1:${port}` });
});
