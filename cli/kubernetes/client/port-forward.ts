// A way from this machine to a port of a pod, as `kubectl port-forward` opens one: what connects to
// a loopback port is carried by the API server to the pod's own loopback. Each connection is a
// WebSocket of its own.

import { PortForward, type KubeConfig } from '@kubernetes/client-node';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { exitCodes } from '../../../shared/exit-codes.js';
import { serverOf } from '../../../shared/kubernetes/api-server.js';
import { messageOf } from '../../../shared/problems.js';
import { CommandFailed } from '../../failure.js';

/** A port of a pod. */
export interface PodPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/** A loopback port that leads there until it is closed. */
export interface ForwardedPort {
  readonly localPort: number;
  close(): Promise<void>;
}

export interface ForwardOptions {
  /** 0 takes any that is free. */
  readonly localPort?: number;
  /** A connection that could not be carried, and why. */
  readonly onTrouble?: (reason: string) => void;
}

const maxConnections = 64;

/** A reader that is so far behind is given up. */
const mostBuffered = 16 * 1024 * 1024;

/** What is used of a WebSocket, whose types the library keeps to itself. */
interface Carrier {
  close(): void;
  addEventListener(event: 'close' | 'error', listener: () => void): void;
}

/**
 * Opens the way and tries it once: throws a CommandFailed where the API server is not there or
 * refuses, with exit code "configuration" where it does not allow it. That something listens in
 * the pod shows with the first connection only.
 */
export async function forwardPort(
  config: KubeConfig,
  target: PodPort,
  { localPort = 0, onTrouble = () => undefined }: ForwardOptions = {},
): Promise<ForwardedPort> {
  await tryOnce(config, target);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket)).on('error', () => undefined);
    carry(config, target, socket, onTrouble).catch((error: unknown) => {
      onTrouble(messageOf(error));
      socket.destroy();
    });
  });
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(localPort, '127.0.0.1', resolve);
  });
  return {
    localPort: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function tryOnce(config: KubeConfig, target: PodPort): Promise<void> {
  try {
    const carrier = await open(config, target, new PassThrough(), new PassThrough());
    carrier.close();
  } catch (error) {
    // The library hands on an event where the server answers something else.
    const reason = messageOf((error as { readonly error?: unknown }).error ?? error);
    throw new CommandFailed(
      `no way to port ${target.port} of pod ${target.pod} through ${serverOf(config)}: ${reason}`,
      /\b40[13]\b/.test(reason) ? exitCodes.configuration : exitCodes.failed,
      'It takes the right to get and create pods/portforward in the namespace.',
    );
  }
}

async function carry(
  config: KubeConfig,
  target: PodPort,
  socket: Socket,
  onTrouble: (reason: string) => void,
): Promise<void> {
  const output = new Writable({
    write: (chunk: Buffer, _, done) => {
      if (!socket.destroyed) socket.write(chunk);
      if (socket.writableLength > mostBuffered) socket.destroy();
      done();
    },
  });
  const trouble = new Writable({
    write: (chunk: Buffer, _, done) => {
      if (chunk.length > 0) {
        onTrouble(chunk.toString().trim().slice(0, 300));
        socket.destroy();
      }
      done();
    },
  });
  const carrier = await open(config, target, output, trouble, socket);
  carrier.addEventListener('close', () => socket.end());
  carrier.addEventListener('error', () => socket.destroy());
  if (socket.destroyed) carrier.close();
  else socket.once('close', () => carrier.close());
}

async function open(
  config: KubeConfig,
  { namespace, pod, port }: PodPort,
  output: Writable,
  trouble: Writable,
  input: Socket | PassThrough = new PassThrough(),
): Promise<Carrier> {
  const forward = new PortForward(config, false);
  const carrier = await forward.portForward(namespace, pod, [port], output, trouble, input);
  // It is a function only where connections are to be opened again.
  return carrier as Carrier;
}
