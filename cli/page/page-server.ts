// The server of the page: gives its files, and takes a picture at POST /enlarge. The answer to that
// is lines of JSON that say how far it is; the last one announces the bytes of a PNG, which follow.
// A picture lies in a file of the server's own folder, and goes with its request.

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { isIPv6, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { createPictureRequests, refuse, type ServedModel } from './picture-requests.js';

export interface PageServerOptions extends ServedModel {
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
  /** What it gives, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A server that listens; owns its folder and the work under way until `close`. */
export interface PageServer {
  readonly url: string;
  close(): Promise<void>;
}

const serverLimits = {
  maxConnections: 64,
  headersTimeout: 10_000,
  /** For a whole upload. */
  requestTimeout: 120_000,
  keepAliveTimeout: 5000,
} as const;

const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The page asks nobody but this server for anything, and no other page may show or use it. */
const safeHeaders: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/** Names by which a browser on this machine calls a server that only this machine reaches. */
const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i;

/** Starts to listen; an OperatorError when the place is taken or not this machine's. */
export async function startPageServer(options: PageServerOptions): Promise<PageServer> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-page-'));
  const pictures = createPictureRequests(options, folder);
  const { host, files } = options;
  const named = isIPv6(host) ? `[${host}]` : host;
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(safeHeaders)) response.setHeader(name, value);
    if (isForeign(request, loopback.test(named)))
      return refuse(response, 403, 'This server answers its own page only.');
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    if (path === '/enlarge' && request.method === 'POST')
      return void pictures.answer(request, response);
    giveFile(files, path === '/' ? 'index.html' : path.slice(1), request, response);
  });
  Object.assign(server, serverLimits);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port, host, resolve);
    });
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw refusedPlace(error, options);
  }
  return {
    url: `http://${named}:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      await pictures.close();
      server.closeAllConnections();
      await closed;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Asked by a page of another place, or under a name that another place has given this machine. */
function isForeign({ method, headers }: IncomingMessage, isLoopback: boolean): boolean {
  const { host = '', origin } = headers;
  if (isLoopback && !loopback.test(host)) return true;
  const isOwn = origin === undefined || origin.replace(/^https?:\/\//, '') === host;
  return method !== 'GET' && method !== 'HEAD' && !isOwn;
}

function giveFile(
  files: ReadonlyMap<string, Uint8Array>,
  name: string,
  { method }: IncomingMessage,
  response: ServerResponse,
): void {
  if (method !== 'GET' && method !== 'HEAD') return refuse(response, 405, 'Only GET is answered.');
  const content = files.get(name);
  if (content === undefined) return refuse(response, 404, 'There is nothing of this name.');
  response.setHeader('Content-Type', mediaTypes[extname(name)] ?? 'application/octet-stream');
  response.setHeader('Content-Length', content.length);
  response.end(content);
}

function refusedPlace(error: unknown, { host, port }: PageServerOptions): unknown {
  const ofPort = { key: '--port', given: port, hint: '--port 0 takes any that is free' };
  const ofHost = { key: '--host', given: host, hint: '127.0.0.1 is for this machine only' };
  const problems: Readonly<Record<string, Problem>> = {
    EADDRINUSE: { ...ofPort, allowed: 'a port that nobody listens on' },
    EACCES: { ...ofPort, allowed: 'a port that this user may listen on' },
    EADDRNOTAVAIL: { ...ofHost, allowed: 'an address of this machine' },
    ENOTFOUND: { ...ofHost, allowed: 'an address of this machine' },
  };
  const problem = problems[(error as NodeJS.ErrnoException).code ?? ''];
  return problem === undefined
    ? error
    : new OperatorError('nothing can be served there', [problem]);
}
