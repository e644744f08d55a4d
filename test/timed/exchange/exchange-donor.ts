// A donor of a state in a process of its own, for the tests that kill or freeze it midway, and to
// measure. Its compute thread is this one; it reports its address, and every 16 MiB it serves.

import * as grpc from '@grpc/grpc-js';

import { exchangeServerOptions } from '../../../worker/exchange/grpc.js';
import { createGrpcStateServer } from '../../../worker/transfer/grpc.js';
import { answerOf } from './exchange-transfers.js';
import { bind } from './exchange-worlds.js';

const bytes = Number(process.argv[2]);
const server = new grpc.Server(exchangeServerOptions);
let served = 0;
const state = createGrpcStateServer(server, {
  toCompute: (message) => {
    setImmediate(() => state.onCompute(answerOf(message, bytes)));
    if (message.kind !== 'serveMore') return;
    served += message.maxBytes;
    if (served % (16 * 1024 ** 2) === 0) process.send?.({ served });
  },
});
state.setWorld(1, () => true);
process.send?.({ address: await bind(server) });
process.on('disconnect', () => process.exit());
