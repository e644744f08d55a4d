// The door of a gRPC server: which connections are let in, how many, and for how long without
// anybody who knows them. gRPC itself takes all that come and keeps them; whoever serves vouches
// here for those that it knows, by the name that gRPC gives to the peer of a call.

import { lookup } from 'node:dns/promises';
import { createServer, type AddressInfo, type Server as Listener, type Socket } from 'node:net';
import { ServerCredentials, type Server } from '@grpc/grpc-js';
import type { OnRefused } from '../log.js';
import type { Certificates } from '../tls/certificates.js';
import { tlsEntrance } from '../tls/mutual.js';

/** The limits of a door; times are milliseconds. */
export interface DoorLimits {
  /** Connections that nobody vouches for. Above it the eldest of the most frequent address goes. */
  readonly unknown: number;
  /** Connections in all; one more is not let in. */
  readonly connections: number;
  /** Until the first byte of a connection. */
  readonly silentMs: number;
  /** Until somebody vouches for a connection, or renews it. */
  readonly unknownMs: number;
  /** Bytes of a connection until then. */
  readonly unknownBytes: number;
  /** Calls on a connection in a second until then: each costs more than its bytes. */
  readonly unknownCalls: number;
}

export const defaultDoorLimits: DoorLimits = {
  unknown: 128,
  connections: 16_384,
  silentMs: 5_000,
  unknownMs: 20_000,
  unknownBytes: 64 * 1024,
  unknownCalls: 64,
};

/** A burst of unknown connections: so many times the limit are there before some are ended. */
const burst = 8;

/** How often connections are looked at that nobody vouches for. */
const lookMs = 100;

/** A connection; `sinceMs` and `sinceBytes` are of its last renewal. */
interface Visit {
  readonly socket: Socket;
  readonly address: string;
  readonly peer: string;
  vouchers: number;
  sinceMs: number;
  sinceBytes: number;
  /** Calls since `callsSinceMs`. */
  calls: number;
  callsSinceMs: number;
}

/** Owns the listeners of a server, and its connections. */
export class Door {
  readonly #limits: DoorLimits;
  readonly #onCut: OnRefused;
  readonly #listeners: Listener[] = [];
  readonly #closing: (() => void)[] = [];
  /** In the order of their arrival. */
  readonly #unknown = new Map<string, Visit>();
  readonly #known = new Map<string, Visit>();
  #timer: NodeJS.Timeout | undefined;
  #isTrimming = false;

  constructor(limits: Partial<DoorLimits>, onCut: OnRefused) {
    this.#limits = { ...defaultDoorLimits, ...limits };
    this.#onCut = onCut;
  }

  /**
   * Listens at "host:port" (port 0 for any) for a server, as its `bindAsync` does: at all addresses
   * of the host, of which one is enough. With certificates only who shows one comes as far as the
   * server. Gives the port.
   */
  async listen(server: Server, place: string, certificates?: Certificates): Promise<number> {
    const colon = place.lastIndexOf(':');
    const host = place.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
    const inject = this.#entrance(server, certificates);
    const addresses = host === '' ? [{ address: '::' }] : await lookup(host, { all: true });
    let port = Number(place.slice(colon + 1));
    let trouble: unknown;
    let isBound = false;
    for (const { address } of addresses)
      try {
        port = await this.#listenAt(address, port, inject);
        isBound = true;
      } catch (error) {
        trouble = error;
      }
    if (!isBound) throw trouble;
    return port;
  }

  /**
   * The peer of a call is known: its connection may stay until the function that this gives is
   * called as often as this was.
   */
  vouch(peer: string): () => void {
    const visit = this.#known.get(peer) ?? this.#unknown.get(peer);
    if (visit === undefined) return () => undefined;
    visit.vouchers += 1;
    this.#unknown.delete(peer);
    this.#known.set(peer, visit);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      visit.vouchers -= 1;
      if (visit.vouchers > 0 || this.#known.get(peer) !== visit) return;
      this.#known.delete(peer);
      this.#admit(visit);
    };
  }

  /** The peer of a call has as long again until somebody vouches for it. */
  renew(peer: string): void {
    const visit = this.#unknown.get(peer);
    if (visit === undefined) return;
    this.#unknown.delete(peer);
    this.#admit(visit);
  }

  /** A peer has made a call. Whether it is to be answered: who makes too many is cut off. */
  called(peer: string): boolean {
    // A socket of this host, which has no door.
    if (!peer.includes(':') || this.#known.has(peer)) return true;
    const visit = this.#unknown.get(peer);
    if (visit === undefined) return false;
    const nowMs = performance.now();
    if (nowMs - visit.callsSinceMs > 1_000) Object.assign(visit, { calls: 0, callsSinceMs: nowMs });
    visit.calls += 1;
    const { unknownCalls } = this.#limits;
    if (visit.calls <= unknownCalls) return true;
    this.#end(visit, `it made more than ${unknownCalls} calls, and nobody knows it`);
    return false;
  }

  /** Ends the connection of a peer. */
  cut(peer: string, reason: string): void {
    const visit = this.#known.get(peer) ?? this.#unknown.get(peer);
    if (visit !== undefined) this.#end(visit, reason);
  }

  /** Takes no connections any more; those that are there are the server's business. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    for (const end of this.#closing) end();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** What a connection goes through until it is the server's. */
  #entrance(server: Server, certificates: Certificates | undefined): (socket: Socket) => void {
    const credentials = ServerCredentials.createInsecure();
    const { injectConnection } = server.createConnectionInjector(credentials);
    if (certificates === undefined) return injectConnection;
    const { admit, close } = tlsEntrance(certificates, injectConnection, this.#onCut);
    this.#closing.push(close);
    return admit;
  }

  #listenAt(host: string, port: number, inject: (socket: Socket) => void): Promise<number> {
    return new Promise((resolve, reject) => {
      const listener = createServer((socket) => this.#onConnection(socket, inject));
      listener.once('error', reject);
      listener.listen({ host, port }, () => {
        listener.off('error', reject);
        // A process that has no file left can't take a connection, and goes on.
        listener.on('error', () => undefined);
        this.#listeners.push(listener);
        resolve((listener.address() as AddressInfo).port);
      });
    });
  }

  #onConnection(socket: Socket, inject: (socket: Socket) => void): void {
    socket.on('error', () => undefined);
    const { remoteAddress: address, remotePort } = socket;
    // It has gone already.
    if (address === undefined) return void socket.destroy();
    const peer = `${address}:${remotePort}`;
    const counts = { vouchers: 0, sinceMs: 0, sinceBytes: 0, calls: 0, callsSinceMs: 0 };
    const visit: Visit = { socket, address, peer, ...counts };
    const { connections, unknown } = this.#limits;
    if (this.#known.size + this.#unknown.size >= connections)
      return this.#end(visit, `there are ${connections} connections`);
    if (this.#unknown.size >= burst * unknown)
      return this.#end(visit, `more than ${unknown} connections that nobody knows`);
    socket.once('close', () => {
      if (this.#unknown.get(peer) === visit) this.#unknown.delete(peer);
      if (this.#known.get(peer) === visit) this.#known.delete(peer);
    });
    this.#admit(visit);
    inject(socket);
  }

  #admit(visit: Visit): void {
    visit.sinceMs = performance.now();
    visit.sinceBytes = visit.socket.bytesRead;
    this.#unknown.set(visit.peer, visit);
    this.#timer ??= setInterval(() => this.#look(), lookMs).unref();
    if (this.#unknown.size <= this.#limits.unknown || this.#isTrimming) return;
    // Not at once: what those that have just come say is read in the next turn.
    this.#isTrimming = true;
    setImmediate(() => setImmediate(() => this.#trim()));
  }

  /** Makes room: first by those that have said nothing, of addresses with more than their share. */
  #trim(): void {
    this.#isTrimming = false;
    const { unknown } = this.#limits;
    const visits = [...this.#unknown.values()];
    const counts = new Map<string, number>();
    for (const { address } of visits) counts.set(address, (counts.get(address) ?? 0) + 1);
    const share = Math.max(1, Math.floor(unknown / Math.max(1, counts.size)));
    const takesMore = (visit: Visit): boolean => {
      const count = counts.get(visit.address) ?? 0;
      counts.set(visit.address, count - 1);
      return count > share;
    };
    const silent = visits.filter(isSilent);
    const inOrder = [...silent, ...visits.filter((one) => !isSilent(one))];
    const greedy = inOrder.filter(takesMore);
    const victims = [...greedy, ...inOrder.filter((one) => !greedy.includes(one))];
    for (const visit of victims.slice(0, Math.max(0, visits.length - unknown)))
      this.#end(visit, `more than ${unknown} connections that nobody knows`);
  }

  #look(): void {
    const nowMs = performance.now();
    const { silentMs, unknownMs, unknownBytes } = this.#limits;
    for (const visit of [...this.#unknown.values()]) {
      const ms = nowMs - visit.sinceMs;
      if (visit.socket.bytesRead - visit.sinceBytes > unknownBytes)
        this.#end(visit, `it sent more than ${unknownBytes} bytes, and nobody knows it`);
      else if (ms > silentMs && isSilent(visit))
        this.#end(visit, `it said nothing for ${silentMs / 1000} s`);
      else if (ms > unknownMs) this.#end(visit, `nobody knew it for ${unknownMs / 1000} s`);
    }
    if (this.#unknown.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #end({ socket, peer, address }: Visit, reason: string): void {
    this.#unknown.delete(peer);
    this.#known.delete(peer);
    socket.destroy();
    this.#onCut(address, reason);
  }
}

function isSilent({ socket }: Visit): boolean {
  return socket.bytesRead === 0;
}
