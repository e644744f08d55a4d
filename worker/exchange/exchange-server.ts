// A gRPC server that carries nothing but an exchange: for tests, the bench and any worker that
// needs no other service on the port.

import * as grpc from '@grpc/grpc-js';

import type { Exchange } from './exchange.js';
import { createExchange, type ExchangeOptions } from './create-exchange.js';
import { exchangeServerOptions } from './service.js';

export interface ExchangeServer {
  readonly exchange: Exchange;
  /** "host:port" as bound. */
  readonly address: string;
  /** Closes the exchange, then the server. */
  close(): Promise<void>;
}

/** Binds `host` (port chosen by the system unless given) and creates an exchange on it. */
export async function createExchangeServer(
  host: string,
  options: Omit<ExchangeOptions, 'server'> = {},
  port = 0,
): Promise<ExchangeServer> {
  const server = new grpc.Server(exchangeServerOptions);
  const exchange = createExchange({ ...options, server });
  const insecure = grpc.ServerCredentials.createInsecure();
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, insecure, (error, chosen) =>
      error === null ? resolve(chosen) : reject(error),
    );
  });
  const close = async (): Promise<void> => {
    await exchange.close();
    // Peers that read get the status of their streams; one that is frozen must not hold us up.
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 500);
      server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    server.forceShutdown();
  };
  return { exchange, address: `${host}:${bound}`, close };
}
