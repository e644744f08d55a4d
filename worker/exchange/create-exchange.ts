// The exchange over gRPC: adds its service to the worker's server, admits or refuses the peers
// that knock, and keeps at most one world at a time. Sums and schedules are decided elsewhere.

import * as grpc from '@grpc/grpc-js';

import type { Step } from '../../shared/words.js';
import { admit } from './admission.js';
import type { Exchange, ExchangeWorld, PeerLost, Reduced } from './exchange.js';
import { markInOneGo } from './garbage.js';
import { LinkMutes } from './link-mutes.js';
import { defaultExchangeLimits, type ExchangeLimits } from './limits.js';
import { exchangeService } from './service.js';
import { ServingStream, type ServerCall } from './serving-stream.js';
import type { Hello } from './wire.js';
import { WorldSession } from './world-session.js';

export interface ExchangeOptions {
  /** The server peers reach us by, owned and bound by the caller (`exchangeServerOptions`). */
  readonly server: grpc.Server;
  readonly limits?: Partial<ExchangeLimits>;
  /** A fact worth a log line: a stream refused, with the reason. */
  readonly log?: (fact: string, fields: Readonly<Record<string, unknown>>) => void;
}

const closedReason = 'this worker has closed its exchange';

/** A stream that is not, or not yet, part of our world. */
interface Visitor {
  readonly stream: ServingStream;
  readonly timer: NodeJS.Timeout;
  hello: Hello | undefined;
}

/** Creates the exchange of a worker; one for each server. Changes how this process collects. */
export function createExchange(options: ExchangeOptions): Exchange {
  markInOneGo();
  return new GrpcExchange(options);
}

class GrpcExchange implements Exchange {
  readonly #limits: ExchangeLimits;
  readonly #log: NonNullable<ExchangeOptions['log']>;
  readonly #listeners: ((lost: PeerLost) => void)[] = [];
  readonly #visitors = new Set<Visitor>();
  readonly #mutes = new LinkMutes((worker) => this.#unmute(worker));
  #session: WorldSession | undefined;
  #isClosed = false;

  constructor(options: ExchangeOptions) {
    this.#limits = { ...defaultExchangeLimits, ...options.limits };
    this.#log = options.log ?? (() => undefined);
    const pull = (call: ServerCall): void => this.#onStream(call);
    options.server.addService(exchangeService(), { Pull: pull });
  }

  onPeerLost(listener: (lost: PeerLost) => void): void {
    this.#listeners.push(listener);
  }

  async join(world: ExchangeWorld): Promise<void> {
    if (this.#isClosed) throw new Error('the exchange is closed');
    this.#session?.close(`left for generation ${world.world.generation}`);
    this.#session = undefined;
    const session = new WorldSession(world, this.#limits, (lost) => {
      for (const listener of this.#listeners) listener(lost);
    });
    this.#session = session;
    const joined = session.join();
    for (const worker of this.#mutes.workers()) session.mute(worker);
    for (const visitor of [...this.#visitors]) this.#admit(visitor);
    return joined;
  }

  async allReduce(step: Step, floats: number): Promise<Reduced> {
    if (this.#session === undefined) throw new Error(`step ${step} before any world`);
    return this.#session.allReduce(step, floats);
  }

  mute(worker: string, ms: number): void {
    this.#mutes.set(worker, ms);
    this.#session?.mute(worker);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#mutes.close();
    await this.#session?.drain();
    this.#session?.close(closedReason);
    for (const visitor of [...this.#visitors]) {
      this.#refuse(visitor, grpc.status.UNAVAILABLE, closedReason);
    }
  }

  #onStream(call: ServerCall): void {
    const { helloMs, heldStreams, framesInFlight } = this.#limits;
    const stream = new ServingStream(call, framesInFlight, (hello) => {
      visitor.hello = hello;
      this.#admit(visitor);
    });
    const timer = setTimeout(() => {
      const what = visitor.hello === undefined ? 'no hello' : 'this worker did not join your world';
      this.#refuse(visitor, grpc.status.DEADLINE_EXCEEDED, `${what} within ${helloMs / 1000} s`);
    }, helloMs);
    const visitor: Visitor = { stream, timer, hello: undefined };
    this.#visitors.add(visitor);
    stream.handle({
      onPull: () => this.#refuse(visitor, grpc.status.INVALID_ARGUMENT, 'asked before the welcome'),
      onRoom: () => undefined,
      onClosed: () => this.#forget(visitor),
    });
    if (this.#isClosed) this.#refuse(visitor, grpc.status.UNAVAILABLE, closedReason);
    else if (this.#visitors.size > heldStreams) {
      this.#refuse(visitor, grpc.status.RESOURCE_EXHAUSTED, 'too many streams are waiting');
    }
  }

  #admit(visitor: Visitor): void {
    if (visitor.hello === undefined || this.#mutes.has(visitor.hello.fromWorker)) return;
    const admission = admit(visitor.hello, this.#session?.world);
    if (admission.kind === 'hold') return;
    if (admission.kind === 'refuse') {
      return this.#refuse(visitor, grpc.status.FAILED_PRECONDITION, admission.reason);
    }
    this.#forget(visitor);
    this.#session?.attach(admission.rank, visitor.stream);
  }

  /** Streams that the peer opened meanwhile were never heard of; it is to open new ones. */
  #unmute(worker: string): void {
    this.#session?.unmute(worker);
    for (const visitor of [...this.#visitors]) {
      if (visitor.hello?.fromWorker !== worker) continue;
      this.#refuse(visitor, grpc.status.UNAVAILABLE, 'the link was cut');
    }
  }

  #refuse(visitor: Visitor, code: grpc.status, reason: string): void {
    const worker = visitor.hello?.fromWorker.slice(0, 200);
    this.#log('exchange stream refused', { worker, reason });
    this.#forget(visitor);
    visitor.stream.refuse(code, reason);
  }

  #forget(visitor: Visitor): void {
    clearTimeout(visitor.timer);
    this.#visitors.delete(visitor);
  }
}
