// A gRPC client that knows how many bytes have come on its connection: on a slow link a frame
// is seconds on its way, and until it is complete its bytes are all there is to see.

import * as grpc from '@grpc/grpc-js';
import type { Socket } from 'node:net';

export interface CountedClient {
  readonly client: grpc.Client;
  /** Bytes that have come so far, over all connections that the client has had. */
  receivedBytes(): number;
}

/** Creates a client of an address ("host:port"); its owner closes it. */
export function createCountedClient(
  address: string,
  options: grpc.ChannelOptions,
  credentials = grpc.credentials.createInsecure(),
): CountedClient {
  // Several, where a name has several addresses: gRPC dials the next before it gives up the first.
  const sockets = new Set<Socket>();
  let earlierBytes = 0;
  const createConnector = credentials._createSecureConnector.bind(credentials);
  // The one place where grpc-js (1.14) shows the socket that it has connected, before TLS.
  credentials._createSecureConnector = (...args) => {
    const connector = createConnector(...args);
    const connect = connector.connect.bind(connector);
    connector.connect = (connected: Socket) => {
      sockets.add(connected);
      connected.once('close', () => {
        if (sockets.delete(connected)) earlierBytes += connected.bytesRead;
      });
      return connect(connected);
    };
    return connector;
  };
  const client = new grpc.Client(address, credentials, options);
  return {
    client,
    receivedBytes: () => [...sockets].reduce((sum, { bytesRead }) => sum + bytesRead, earlierBytes),
  };
}
