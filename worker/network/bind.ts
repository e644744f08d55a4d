// Where a worker's peers reach it: binds the address that it was told, and says how it is written.

import { ServerCredentials, type Server } from '@grpc/grpc-js';
import { OperatorError } from '../../shared/problems.js';

/**
 * Binds `listen` ("host:port", port 0 for any); gives "host:port" with the host that peers use, an
 * IPv6 address in brackets. An OperatorError says why it can't be bound.
 */
export function bindWorker(server: Server, listen: string, advertise: string): Promise<string> {
  const host = advertise.includes(':') && !advertise.startsWith('[') ? `[${advertise}]` : advertise;
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(`${host}:${port}`) : reject(unbound(listen, error)),
    );
  });
}

function unbound(listen: string, error: Error): OperatorError {
  return new OperatorError('the worker can not listen', [
    {
      key: '--listen',
      given: listen,
      allowed: 'an address of this machine and a port that is free (0: any)',
      hint: error.message,
    },
  ]);
}
