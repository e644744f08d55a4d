// A TCP proxy that can lose an answer: it swallows what the server says next and then cuts the
// line, so that the client does not know whether its request was done.

import { connect, createServer, type Socket } from 'node:net';

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
  const server = createServer((client) => {
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
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
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
