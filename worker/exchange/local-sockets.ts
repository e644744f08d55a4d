// Unix sockets between workers of one user on one host, which cost less than TCP on the loopback
// (docs/performance.md). A worker has a private folder with a socket for each lane of its exchange.
// Peers are told the folder's random name, never a path: nobody can lead them to another socket.

import { ServerCredentials, type Server } from '@grpc/grpc-js';
import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The longest path that a socket may have on Linux and macOS, bytes. */
const maxPathBytes = 103;

/** A folder that is younger may be of a worker that is about to listen. */
const settledMs = 60_000;

/** Owns a folder; what is left of it after a crash is harmless, and goes with the next worker. */
export interface SocketFolder {
  readonly name: string;
  /** Removes the folder. Connections go on; there are no new ones. */
  close(): void;
}

/** Creates a folder; undefined where there can be none, and TCP has to do. */
export function createSocketFolder(): SocketFolder | undefined {
  const name = randomBytes(16).toString('hex');
  const folder = folderOf(name);
  const isPossible = Buffer.byteLength(socketPath(name, 0)) <= maxPathBytes;
  if (process.platform === 'win32' || !isPossible) return undefined;
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch {
    return undefined;
  }
  const close = (): void => {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // Left behind, it is harmless.
    }
  };
  return { name, close };
}

/** Removes folders of workers of this user that were killed before they could. Never throws. */
export async function removeLeftFolders(): Promise<void> {
  try {
    for (const entry of readdirSync(tmpdir())) {
      const name = /^lockstep-exchange-([0-9a-f]{32})$/.exec(entry)?.[1];
      if (name === undefined || !isPrivateFolder(name)) continue;
      const ageMs = Date.now() - lstatSync(folderOf(name)).mtimeMs;
      if (ageMs > settledMs && (await isDeserted(socketPath(name, 0))))
        rmSync(folderOf(name), { recursive: true, force: true });
    }
  } catch {
    // Left behind, they are harmless.
  }
}

/** Whether nobody listens at a socket; one whose process is frozen still takes connections. */
function isDeserted(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) =>
      resolve(code === 'ECONNREFUSED' || code === 'ENOENT'),
    );
  });
}

/** Lets a lane's server listen in our folder too, if there is one. Whether it does. */
export function listenLocally(
  server: Server,
  name: string | undefined,
  lane: number,
): Promise<boolean> {
  if (name === undefined) return Promise.resolve(false);
  const address = `unix:${socketPath(name, lane)}`;
  return new Promise((resolve) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
      resolve(error === null),
    );
  });
}

/**
 * gRPC's address of a peer's socket, if it is there: on this host, in a temporary directory that
 * both see, in a folder that is ours and that no other user can open.
 */
export function localAddress(name: string | undefined, lane: number): string | undefined {
  if (name === undefined) return undefined;
  const path = socketPath(name, lane);
  try {
    return isPrivateFolder(name) && lstatSync(path).isSocket() ? `unix:${path}` : undefined;
  } catch {
    return undefined;
  }
}

/** Whether there is such a folder that is ours, and that no other user can open. */
function isPrivateFolder(name: string): boolean {
  const folder = lstatSync(folderOf(name));
  const isOurs = folder.isDirectory() && folder.uid === process.getuid?.();
  return isOurs && (folder.mode & 0o077) === 0;
}

function folderOf(name: string): string {
  return join(tmpdir(), `lockstep-exchange-${name}`);
}

function socketPath(name: string, lane: number): string {
  return join(folderOf(name), String(lane));
}
