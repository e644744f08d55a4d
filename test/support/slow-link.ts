// A TCP proxy that is a slow link: in each direction all of its connections together carry so many
// bytes a second, and it holds next to nothing.

import { connect, createServer, type Socket } from 'node:net';

/** Bytes a second of a link of 4 Mbit/s. */
export const fourMegabits = 500_000;

const tickMs = 20;

export interface SlowLink {
  /** "host:port" of the near end. */
  readonly address: string;
  close(): Promise<void>;
}

/** Starts a link to `target` ("127.0.0.1:port"), whose near end is at any port unless told. */
export async function startSlowLink(
  target: string,
  bytesPerS: number,
  { host, port }: { host: string; port: number } = { host: '127.0.0.1', port: 0 },
): Promise<SlowLink> {
  const farPort = Number(target.slice(target.lastIndexOf(':') + 1));
  const sockets = new Set<Socket>();
  const directions = [direction(bytesPerS), direction(bytesPerS)];
  const server = createServer((near) => {
    const far = connect(farPort, '127.0.0.1');
    const cut = (): void => void [near.destroy(), far.destroy()];
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true).on('error', cut).on('close', cut);
      socket.on('close', () => sockets.delete(socket));
    }
    directions[0].carry(near, far);
    directions[1].carry(far, near);
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return {
    address: `${host}:${bound.port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      for (const { stop } of directions) stop();
    },
  };
}

/** One direction of the link: what is read waits its turn, and nothing more is read meanwhile. */
function direction(bytesPerS: number): { carry(from: Socket, to: Socket): void; stop(): void } {
  const queue: { from: Socket; to: Socket; bytes: Buffer }[] = [];
  const startedMs = performance.now();
  let sentBytes = 0;
  const timer = setInterval(() => {
    let allowedBytes = ((performance.now() - startedMs) * bytesPerS) / 1000 - sentBytes;
    // What was not used is lost, but for a tick's worth.
    const mostBytes = Math.ceil((2 * tickMs * bytesPerS) / 1000);
    if (allowedBytes > mostBytes) sentBytes += allowedBytes - mostBytes;
    allowedBytes = Math.min(allowedBytes, mostBytes);
    while (allowedBytes > 0 && queue.length > 0) {
      const { from, to, bytes } = queue[0];
      const part = bytes.subarray(0, Math.ceil(allowedBytes));
      to.write(part);
      sentBytes += part.length;
      allowedBytes -= part.length;
      if (part.length < bytes.length) queue[0].bytes = bytes.subarray(part.length);
      else {
        queue.shift();
        from.resume();
      }
    }
  }, tickMs);
  return {
    carry: (from, to) =>
      void from.on('data', (bytes) => {
        from.pause();
        queue.push({ from, to, bytes });
      }),
    stop: () => clearInterval(timer),
  };
}
