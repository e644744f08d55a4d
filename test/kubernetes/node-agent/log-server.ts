// The one part of the kubelet's own API that is served: /containerLogs, through which the API
// server answers `kubectl logs`. It asks nobody who they are, and listens on loopback only.

import { createServer, type Server } from 'node:https';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ContainerLog, LogLine } from './container.js';

export interface LogServer {
  readonly port: number;
  close(): void;
}

/** Finds the log of a container by namespace, pod and name. */
export type FindLog = (
  namespace: string,
  pod: string,
  container: string,
) => ContainerLog | undefined;

/** Starts the server. */
export async function startLogServer(
  tls: { readonly cert: string; readonly key: string },
  find: FindLog,
): Promise<LogServer> {
  const server: Server = createServer(tls, (request, response) => {
    const url = new URL(request.url ?? '', 'https://node');
    const [, route, ...names] = url.pathname.split('/');
    const [namespace = '', pod = '', container = ''] = names.map(decodeURIComponent);
    const log = route === 'containerLogs' ? find(namespace, pod, container) : undefined;
    if (log === undefined)
      return void response.writeHead(404).end(`no log of ${names.join('/')}\n`);
    sendLog(log, url.searchParams, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function sendLog(log: ContainerLog, query: URLSearchParams, response: ServerResponse): void {
  const withStamps = query.get('timestamps') === 'true';
  const send = ({ stamp, text }: LogLine): void =>
    void response.write(withStamps ? `${stamp} ${text}\n` : `${text}\n`);
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  for (const line of chosen(log.lines, query)) send(line);
  if (query.get('follow') !== 'true') return void response.end();
  const stop = log.follow(send, () => response.end());
  response.on('close', stop);
}

function chosen(lines: readonly LogLine[], query: URLSearchParams): readonly LogLine[] {
  const seconds = query.get('sinceSeconds');
  const since = query.get('sinceTime') ?? undefined;
  const fromMs = seconds !== null ? Date.now() - Number(seconds) * 1000 : Date.parse(since ?? '');
  const recent = Number.isNaN(fromMs)
    ? lines
    : lines.filter(({ stamp }) => Date.parse(stamp) >= fromMs);
  const tail = query.get('tailLines');
  if (tail === null) return recent;
  return Number(tail) === 0 ? [] : recent.slice(-Number(tail));
}
