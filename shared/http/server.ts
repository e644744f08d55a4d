// The HTTP server of whatever Lockstep shows: pages, their API, metrics and health. It decides who
// is answered, within which limits and with which headers; routes decide what is answered. Nothing
// that a client does ends the process.

import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isIPv6, type AddressInfo, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { OnRefused } from '../log.js';
import { messageOf, OperatorError, type Problem } from '../problems.js';
import type { Certificates } from '../tls/certificates.js';
import { identitiesOf, type Identity } from '../tls/identity.js';
import { serverContext } from '../tls/mutual.js';
import { accessOfCaller, admit, tlsOf, type HttpAccess } from './access.js';

/** Answers a request; what it throws is answered with status 500. */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
) => void | Promise<void>;

export interface HttpServerOptions {
  /** A name or an address, without brackets. */
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
  /** The flag that has the place, "--http"; of the port alone where `hostKey` is given. */
  readonly key: string;
  readonly hostKey?: string;
  readonly access: HttpAccess;
  /**
   * By path; one that ends in "/" also takes all below it, unless a longer one does. GET and HEAD
   * come there; another method where the key begins with it: "POST /enlarge".
   */
  readonly routes: ReadonlyMap<string, Handler>;
  /** Answered without the token. */
  readonly openPaths?: readonly string[];
  /** Hears of requests that were not let in. */
  readonly onRefused?: OnRefused;
  /** Called by `close` when no new request is taken, and before those under way are cut off. */
  readonly closing?: () => Promise<void>;
}

/** A server that listens. */
export interface HttpServer {
  /** "http://127.0.0.1:7480/" */
  readonly url: string;
  readonly port: number;
  /** Ends all connections. */
  close(): Promise<void>;
}

const serverLimits = {
  // Each can hold memory: a burst of requests is parsed before the first of them is counted.
  maxConnections: 64,
  headersTimeout: 10_000,
  /** For a whole upload. */
  requestTimeout: 120_000,
  keepAliveTimeout: 5000,
} as const;

const longestUrl = 2048;

/** Requests of a connection before the first is answered. Browsers send one after the other. */
const requestsAtATime = 4;

/** The page asks nobody but this server for anything, and no other page may show or use it. */
export const safeHeaders: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/** Types of the files that pages are made of, by their names' ends. */
export const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Answers with a status and a text that says why nothing was done. */
export function refuse(response: ServerResponse, status: number, text: string): void {
  const body = JSON.stringify({ text });
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' }).end(body);
}

/** "127.0.0.1:7480", "[::1]:7480" or ":7480" (this machine only); undefined for anything else. */
export function parseHttpPlace(text: string): { host: string; port: number } | undefined {
  const [, inBrackets, name, digits] =
    /^(?:\[([\da-f:.]+)\]|([\w.-]*)):(\d{1,5})$/i.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  return { host: inBrackets ?? (name === '' ? '127.0.0.1' : (name ?? '')), port };
}

/** Starts to listen; an OperatorError when the place is taken or not this machine's. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host, access } = options;
  const server = createListener(options);
  Object.assign(server, serverLimits);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port, host, resolve);
    });
  } catch (error) {
    throw refusedPlace(error, options);
  }
  // A process that has no file left can't take a connection, and goes on.
  server.on('error', () => undefined);
  const { port } = server.address() as AddressInfo;
  const scheme = tlsOf(access) === undefined ? 'http' : 'https';
  return {
    url: `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}/`,
    port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      await options.closing?.();
      server.closeAllConnections();
      await closed;
    },
  };
}

function createListener(options: HttpServerOptions): Server {
  const { access, key } = options;
  const tls = tlsOf(access);
  const underWay = new WeakMap<Socket, number>();
  const listener: RequestListener = (request, response) => {
    const { socket } = request;
    const count = (underWay.get(socket) ?? 0) + 1;
    // Whoever asks on and does not read would fill our memory with answers.
    if (count > requestsAtATime) return void socket.destroy();
    underWay.set(socket, count);
    response.once('close', () => underWay.set(socket, (underWay.get(socket) ?? 1) - 1));
    // A client that has gone, or that breaks off, is no news.
    for (const stream of [request, response]) stream.on('error', () => undefined);
    const local = request.socket.localPort ?? options.port;
    void answer(request, response, options, local).catch(() => {
      if (response.headersSent) response.destroy();
      else refuse(response, 500, 'The server has failed to answer this.');
    });
  };
  if (tls === undefined) return createServer(listener);
  if (access.kind === 'certificate') return createGuarded(access.certificates, listener);
  try {
    return createTlsServer({ cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2' }, listener);
  } catch (error) {
    const allowed = 'a certificate and its private key, both in PEM';
    const problem = { key: `${key}-cert, ${key}-key`, given: messageOf(error), allowed };
    throw new OperatorError('nothing can be served', [problem]);
  }
}

/** Asks everybody for a certificate; probes, and whoever has a token, need none. */
function createGuarded(certificates: Certificates, listener: RequestListener): Server {
  const options = { requestCert: true, rejectUnauthorized: false };
  const server = createTlsServer({ ...options, ...serverContext(certificates.now()) }, listener);
  const forget = certificates.onChange((set) => server.setSecureContext(serverContext(set)));
  server.once('close', forget);
  return server;
}

/** Who asks, by a certificate of an authority of ours; undefined without one. */
function callerOfRequest({ socket }: IncomingMessage): readonly Identity[] | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  return identitiesOf(socket.getPeerCertificate().subjectaltname);
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { access, routes, openPaths = [], onRefused }: HttpServerOptions,
  port: number,
): Promise<void> {
  for (const [name, value] of Object.entries(safeHeaders)) response.setHeader(name, value);
  const { url: target = '/', method = 'GET' } = request;
  if (target.length > longestUrl) return refuse(response, 414, 'The address is too long.');
  if (!URL.canParse(target, 'http://server')) return refuse(response, 400, 'This is no address.');
  const url = new URL(target, 'http://server');
  const isGuarded = access.kind === 'token' || access.kind === 'certificate';
  const isOpen = isGuarded && openPaths.includes(url.pathname);
  const granted: HttpAccess = isOpen
    ? { kind: 'open' }
    : accessOfCaller(access, callerOfRequest(request));
  const admission = admit(request, url, granted, port);
  if (admission.kind === 'refused') {
    onRefused?.(String(request.socket.remoteAddress), admission.text);
    return refuse(response, admission.status, admission.text);
  }
  if (admission.kind === 'greeted')
    return void response.writeHead(303, { 'Set-Cookie': admission.cookie, Location: '/' }).end();
  const handler = findRoute(routes, method, url.pathname);
  if (handler !== undefined) return await handler(request, response, url);
  if (method === 'GET' || method === 'HEAD')
    return refuse(response, 404, 'There is nothing of this name.');
  refuse(response.setHeader('Allow', 'GET, HEAD'), 405, 'Only GET is answered.');
}

function findRoute(
  routes: ReadonlyMap<string, Handler>,
  method: string,
  path: string,
): Handler | undefined {
  const prefix = method === 'GET' || method === 'HEAD' ? '' : `${method} `;
  const exact = routes.get(prefix + path);
  if (exact !== undefined) return exact;
  for (let end = path.lastIndexOf('/'); end >= 0; end = path.lastIndexOf('/', end - 1)) {
    const handler = routes.get(prefix + path.slice(0, end + 1));
    if (handler !== undefined || end === 0) return handler;
  }
  return undefined;
}

function refusedPlace(error: unknown, options: HttpServerOptions): unknown {
  const { host, port, key, hostKey } = options;
  const place = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const hint = hostKey === undefined ? `${host}:0` : `${key} 0`;
  const ofPort = { key, given: hostKey === undefined ? place : port, hint: `${hint} takes any` };
  const ofHost = { key: hostKey ?? key, given: hostKey === undefined ? place : host };
  const wrongHost = { ...ofHost, hint: '127.0.0.1 is for this machine only' };
  const problems: Readonly<Record<string, Problem>> = {
    EADDRINUSE: { ...ofPort, allowed: 'a port that nobody listens on' },
    EACCES: { ...ofPort, allowed: 'a port that this user may listen on' },
    EADDRNOTAVAIL: { ...wrongHost, allowed: 'an address of this machine' },
    ENOTFOUND: { ...wrongHost, allowed: 'an address of this machine' },
  };
  const problem = problems[(error as NodeJS.ErrnoException).code ?? ''];
  return problem === undefined
    ? error
    : new OperatorError('nothing can be served there', [problem]);
}
