// Ways to ports of pods, carried over WebSockets as an API server and a kubelet carry them: a
// channel a direction, the port's number first, errors on a channel of their own.

import type { IncomingMessage, Server } from 'node:http';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

/** What is used of the library's WebSockets. */
interface WebSocket {
  on(event: 'message', listener: (data: Buffer) => void): void;
  on(event: 'close', listener: () => void): void;
  send(data: Buffer): void;
  close(): void;
}
interface WebSocketServer {
  handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    onOpen: (socket: WebSocket) => void,
  ): void;
}

const libraries = createRequire(createRequire(import.meta.url).resolve('@kubernetes/client-node'));
const { WebSocketServer: Sockets } = libraries('ws') as {
  WebSocketServer: new (options: object) => WebSocketServer;
};

/** Where a way leads: a port of this machine, or the answer that refuses it ("404 Not Found"). */
export type WhereTo = (path: string, port: number) => number | string;

/** Has the server carry what asks for a pod's port. */
export function carryToPods(server: Server, whereTo: WhereTo): void {
  const sockets = new Sockets({
    noServer: true,
    handleProtocols: (offered: Set<string>) =>
      offered.has('v4.channel.k8s.io') && 'v4.channel.k8s.io',
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const url = request.url ?? '';
    const port = Number(new URL(url, 'http://kubelet').searchParams.get('ports'));
    const target = whereTo(url, port);
    if (typeof target === 'string')
      return void socket.end(`HTTP/1.1 ${target}\r\nContent-Length: 0\r\n\r\n`);
    sockets.handleUpgrade(request, socket, head, (opened) => carry(opened, port, target));
  });
}

/** As a kubelet does, from v4 of its channels: 0 has the data, 1 the error. */
function carry(socket: WebSocket, port: number, target: number): void {
  const number = Buffer.alloc(2);
  number.writeUInt16LE(port);
  const send = (channel: number, data: Buffer): void =>
    socket.send(Buffer.concat([Buffer.from([channel]), data]));
  send(0, number);
  send(1, number);
  const pod = connect(target, '127.0.0.1');
  pod.on('data', (data) => send(0, data));
  pod.on('error', ({ message }) => {
    send(1, Buffer.from(`error forwarding port ${port}: ${message}`));
    socket.close();
  });
  pod.on('close', () => socket.close());
  socket.on('message', (data) => void pod.write(data.subarray(1)));
  socket.on('close', () => pod.destroy());
}
