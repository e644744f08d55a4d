// Proxies before a server: one of HTTP that spoils requests, and one of TCP that loses an answer:
// it swallows what the server says next and then cuts the line, so that the client does not know
// whether its request was done.

import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { listen } from './servers.js';

/** What happens to a request. */
export type FaultKind =
  /** 503 without asking the server. */
  | 'busy'
  /** The connection is cut before the server is asked. */
  | 'reset'
  /** The server does it, and the connection is cut instead of its answer. */
  | 'lost-answer'
  /** The server's answer is cut in the middle of its body. */
  | 'truncated'
  /** One bit in the middle of the answer's body is another. */
  | 'flipped'
  /** No answer, ever; the server is not asked. */
  | 'silent';

/** A fault for the next `times` requests that match. */
export interface Fault {
  readonly kind: FaultKind;
  matches(method: string, url: string): boolean;
  times: number;
}

/** A running proxy. */
export interface FaultProxy {
  readonly url: string;
  /** Requests seen, as "PUT /bucket/key", spoiled ones included. */
  readonly seen: readonly string[];
  add(fault: Fault): void;
  close(): Promise<void>;
}

/** Starts a proxy before `target` ("http://127.0.0.1:7070"). */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const faults: Fault[] = [];
  const seen: string[] = [];
  const server = createServer((incoming, answer) => {
    const { method = '', url = '' } = incoming;
    seen.push(`${method} ${url}`);
    const fault = faults.find((one) => one.times > 0 && one.matches(method, url));
    if (fault) fault.times--;
    spoil(target, fault?.kind, incoming, answer);
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    add: (fault) => void faults.push(fault),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function spoil(
  target: string,
  kind: FaultKind | undefined,
  incoming: IncomingMessage,
  answer: ServerResponse,
): void {
  if (kind === 'silent') return void incoming.resume();
  if (kind === 'reset') return void incoming.socket.destroy();
  if (kind === 'busy') {
    incoming.resume();
    return void answer
      .writeHead(503, { 'content-type': 'application/xml' })
      .end('<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>');
  }
  forward(target, incoming, answer, (reply) => {
    if (kind === 'lost-answer') {
      reply.resume();
      reply.once('end', () => answer.socket?.destroy());
      return;
    }
    answer.writeHead(reply.statusCode ?? 502, reply.headers);
    if (kind === 'flipped') return void flip(reply, answer);
    if (kind !== 'truncated') return void reply.pipe(answer);
    reply.once('data', (chunk: Buffer) => {
      answer.write(chunk.subarray(0, Math.floor(chunk.length / 2)), () => {
        answer.socket?.destroy();
        reply.destroy();
      });
    });
  });
}

async function flip(reply: IncomingMessage, answer: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of reply as AsyncIterable<Buffer>) parts.push(part);
  const body = Buffer.concat(parts);
  if (body.length > 0) body[body.length >> 1] ^= 1;
  answer.end(body);
}

function forward(
  target: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
  onReply: (reply: IncomingMessage) => void,
): void {
  const { method, url, headers } = incoming;
  const outgoing = request(new URL(url ?? '/', target), { method, headers, agent: false }, onReply);
  outgoing.on('error', () => answer.socket?.destroy());
  // Who was cut off leaves no request behind that waits for the rest of its body.
  answer.once('close', () => outgoing.destroy());
  incoming.pipe(outgoing);
}

/** A running proxy. */
export interface TcpProxy {
  readonly port: number;
  /**
   * From the client's next words that `matches` on, the server's are swallowed; once those match
   * `answer`, the line is cut, and stays so for `awayMs`.
   */
  loseNextAnswer(request: RegExp, answer: RegExp, awayMs: number): void;
  /** Answers lost so far. */
  readonly lost: number;
  close(): Promise<void>;
}

/** Starts a proxy before a port of this machine. */
export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let pending: { request: RegExp; answer: RegExp; awayMs: number } | undefined;
  let awayUntil = 0;
  let lost = 0;
  const server = createTcpServer((client) => {
    if (performance.now() < awayUntil) return void client.destroy();
    const upstream = connect(target, '127.0.0.1');
    const cut = (): void => void [client.destroy(), upstream.destroy()];
    let swallowed: string | undefined;
    let answer = /^/;
    let awayMs = 0;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', cut).on('close', cut);
      socket.on('close', () => sockets.delete(socket));
    }
    client.on('data', (bytes) => {
      if (pending !== undefined && pending.request.test(bytes.toString('latin1'))) {
        ({ answer, awayMs } = pending);
        pending = undefined;
        swallowed = '';
      }
      upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      if (swallowed === undefined) return void client.write(bytes);
      swallowed += bytes.toString('latin1');
      if (!answer.test(swallowed)) return;
      lost++;
      awayUntil = performance.now() + awayMs;
      cut();
    });
  });
  const port = await listen(server);
  return {
    port,
    loseNextAnswer: (request, answer, awayMs) => void (pending = { request, answer, awayMs }),
    get lost() {
      return lost;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
