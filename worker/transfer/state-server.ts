// Hands this worker's state to peers that are behind: admits or refuses who asks, by generation and
// by number, and passes the compute thread's answers to the stream they are for.

import * as grpc from '@grpc/grpc-js';

import type { Generation } from '../../shared/words.js';
import type { ToCompute, ToNetwork } from '../network/ports.js';
import { defaultTransferLimits, type TransferLimits } from './limits.js';
import { maxJsonBytes } from './state-frame.js';
import { StateServing, type StateCall } from './state-serving.js';
import { stateService } from './wire.js';

/** What the compute thread answers. */
export type ServedMessage = Extract<
  ToNetwork,
  { kind: 'servedHeader' | 'servedChunk' | 'serveRefused' }
>;

export interface StateServerOptions {
  /** The worker's server, the one that carries the exchange (`exchangeServerOptions`). */
  readonly server: grpc.Server;
  /** Gets serveState and serveMore. */
  readonly toCompute: (message: ToCompute) => void;
  readonly limits?: Partial<TransferLimits>;
  /** A fact worth a log line: a state served, or refused, with the reason. */
  readonly log?: (fact: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface StateServer {
  /** An answer of the compute thread; one for a request that is over is dropped. */
  onCompute(message: ServedMessage): void;
  /** The world this worker is in from now on: what earlier ones ask for, or still get, ends. */
  setGeneration(generation: Generation): void;
  /** Ends all, with a reason that the peers see. */
  close(): void;
}

/** Adds the service to the worker's server; before the server is bound or after. */
export function createStateServer(options: StateServerOptions): StateServer {
  const server = new GrpcStateServer(options);
  const state = (call: StateCall): void => server.onCall(call);
  const { chunkBytes } = { ...defaultTransferLimits, ...options.limits };
  options.server.addService(stateService(Math.max(chunkBytes, maxJsonBytes)), { State: state });
  return server;
}

const tooMany = 'too many ask for the state';

class GrpcStateServer implements StateServer {
  readonly #toCompute: (message: ToCompute) => void;
  readonly #limits: TransferLimits;
  readonly #log: NonNullable<StateServerOptions['log']>;
  readonly #servings = new Map<number, StateServing>();
  #ticker: NodeJS.Timeout | undefined;
  #generation: Generation = 0;
  #lastId = 0;
  #isClosed = false;

  constructor({ toCompute, limits, log }: StateServerOptions) {
    this.#toCompute = toCompute;
    this.#limits = { ...defaultTransferLimits, ...limits };
    this.#log = log ?? (() => undefined);
  }

  onCompute(message: ServedMessage): void {
    const serving = this.#servings.get(message.request);
    if (message.kind === 'servedHeader') serving?.onHeader(message.header);
    else if (message.kind === 'servedChunk') serving?.onChunk(message.bytes);
    else serving?.refuse(grpc.status.FAILED_PRECONDITION, message.reason);
  }

  setGeneration(generation: Generation): void {
    this.#generation = generation;
    for (const serving of [...this.#servings.values()]) this.#admit(serving);
  }

  close(): void {
    this.#isClosed = true;
    for (const serving of [...this.#servings.values()]) {
      serving.refuse(grpc.status.UNAVAILABLE, 'this worker is leaving');
    }
  }

  /** A peer asks for a state. */
  onCall(call: StateCall): void {
    const refuse = (code: grpc.status, details: string): void => {
      this.#log('state refused', { reason: details });
      call.emit('error', { code, details });
    };
    const { request } = call;
    if ('refused' in request) return refuse(grpc.status.INVALID_ARGUMENT, request.refused);
    if (this.#isClosed) return refuse(grpc.status.UNAVAILABLE, 'this worker is leaving');
    if (this.#servings.size >= this.#limits.heldRequests) {
      return refuse(grpc.status.RESOURCE_EXHAUSTED, tooMany);
    }
    const id = ++this.#lastId;
    const serving = new StateServing(id, request, call, this.#limits, this.#toCompute, (_, why) =>
      this.#onOver(id, request.fromWorker, why),
    );
    this.#servings.set(id, serving);
    this.#ticker ??= setInterval(() => this.#tick(), this.#limits.aliveMs);
    this.#admit(serving);
  }

  #admit(serving: StateServing): void {
    const { generation } = serving.request;
    if (generation < this.#generation) {
      const reason = `generation ${generation} is over; this worker is in ${this.#generation}`;
      return serving.refuse(grpc.status.FAILED_PRECONDITION, reason);
    }
    if (generation > this.#generation || !serving.isHeld) return;
    const served = [...this.#servings.values()].filter(({ isHeld }) => !isHeld);
    if (served.length < this.#limits.servings) return serving.begin();
    serving.refuse(grpc.status.RESOURCE_EXHAUSTED, tooMany);
  }

  #tick(): void {
    for (const serving of [...this.#servings.values()]) serving.tick();
  }

  #onOver(id: number, worker: string, reason: string | undefined): void {
    this.#servings.delete(id);
    this.#log('state served', { worker, reason: reason ?? 'all of it' });
    if (this.#servings.size > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }
}
