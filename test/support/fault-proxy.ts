// An HTTP proxy in front of a real server that spoils chosen requests: the faults of a network and
// of a busy store, on demand. Requests that no fault matches pass unchanged.

import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';

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
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
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
    if (kind !== 'truncated') return void reply.pipe(answer);
    reply.once('data', (chunk: Buffer) => {
      answer.write(chunk.subarray(0, Math.floor(chunk.length / 2)), () => {
        answer.socket?.destroy();
        reply.destroy();
      });
    });
  });
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
