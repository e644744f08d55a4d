// Ports for coordinators that keep their address when they are started again.

import { createServer } from 'node:net';

/**
 * Below the ports that systems give to outgoing connections: else a worker that dials a
 * coordinator which is away could be given that very port, and hold it.
 */
const [lowest, highest] = [17_000, 32_000];
const tries = 100;

/** `count` different addresses of this machine at which nobody listens. */
export async function freeAddresses(count: number): Promise<string[]> {
  const ports = new Set<number>();
  for (let i = 0; i < tries && ports.size < count; i++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    if (await isFree(port)) ports.add(port);
  }
  if (ports.size < count)
    throw new Error(`no free port on 127.0.0.1 from ${lowest} to ${highest}, in ${tries} tries`);
  return [...ports].map((port) => `127.0.0.1:${port}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
