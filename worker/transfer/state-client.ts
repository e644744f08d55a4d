// Takes the state of a peer for this worker: one at a time, chunk by chunk, as fast as the compute
// thread takes them. Decides how often to ask a donor that is busy.

import * as grpc from '@grpc/grpc-js';

import { defaultExchangeLimits } from '../exchange/limits.js';
import { clientOptions } from '../exchange/service.js';
import type { ToCompute, ToNetwork } from '../network/ports.js';
import { defaultTransferLimits, type TransferLimits } from './limits.js';
import { StateFetch } from './state-fetch.js';

export interface StateClientOptions {
  /** This worker's id, for the donor's log. */
  readonly worker: string;
  /**
   * Gets stateHeader, then stateChunk after stateChunk, or stateFailed at any time. The buffers
   * in `transfer` may be moved instead of copied: no one else uses them.
   */
  readonly toCompute: (message: ToCompute, transfer?: readonly ArrayBuffer[]) => void;
  readonly limits?: Partial<TransferLimits>;
}

export interface StateClient {
  /** Begins to fetch a state; drops the one that is being fetched. */
  fetch(message: Extract<ToNetwork, { kind: 'fetchState' }>): void;
  /** The compute thread has taken a chunk. */
  taken(): void;
  /** Gives up what is being fetched: nothing of it is sent any more. */
  drop(): void;
}

/** Creates the fetching side of a worker. Holds connections only while it fetches. */
export function createStateClient(options: StateClientOptions): StateClient {
  let current: Transfer | undefined;
  return {
    fetch(message) {
      current?.drop();
      current = new Transfer(options, message);
    },
    taken: () => current?.taken(),
    drop() {
      current?.drop();
      current = undefined;
    },
  };
}

/** One state on its way here; owns the channel to its donor. */
class Transfer {
  readonly #options: StateClientOptions;
  readonly #limits: TransferLimits;
  readonly #message: Extract<ToNetwork, { kind: 'fetchState' }>;
  readonly #client: grpc.Client;
  readonly #startedMs = performance.now();
  #fetch: StateFetch | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #untaken = 0;
  #isPaused = false;

  constructor(options: StateClientOptions, message: Extract<ToNetwork, { kind: 'fetchState' }>) {
    this.#options = options;
    this.#limits = { ...defaultTransferLimits, ...options.limits };
    this.#message = message;
    const insecure = grpc.credentials.createInsecure();
    this.#client = new grpc.Client(message.donor, insecure, clientOptions(defaultExchangeLimits));
    this.#ask();
  }

  taken(): void {
    this.#untaken = Math.max(0, this.#untaken - 1);
    if (!this.#isPaused || this.#untaken > this.#limits.chunksUntaken) return;
    this.#isPaused = false;
    this.#fetch?.resume();
  }

  drop(): void {
    clearTimeout(this.#retryTimer);
    this.#fetch?.drop();
    this.#fetch = undefined;
    this.#client.close();
  }

  #ask(): void {
    const { toCompute, worker } = this.#options;
    const { generation, step } = this.#message;
    const request = { generation, step, fromWorker: worker };
    this.#fetch = new StateFetch(this.#client, request, this.#limits, {
      onHeader: (header) => toCompute({ kind: 'stateHeader', header }),
      onChunk: (bytes) => this.#onChunk(bytes),
      onDone: () => this.drop(),
      onBusy: (reason) => this.#onBusy(reason),
      onFailed: (reason) => this.#fail(reason),
    });
  }

  #onChunk(bytes: Uint8Array<ArrayBuffer>): void {
    this.#untaken += 1;
    if (this.#untaken > this.#limits.chunksUntaken) {
      this.#isPaused = true;
      this.#fetch?.pause();
    }
    this.#options.toCompute({ kind: 'stateChunk', bytes }, [bytes.buffer]);
  }

  #onBusy(reason: string): void {
    const { busyMs, retryMs } = this.#limits;
    if (performance.now() - this.#startedMs > busyMs) {
      return this.#fail(`was busy for ${busyMs / 1000} s: ${reason}`);
    }
    this.#retryTimer = setTimeout(() => this.#ask(), retryMs);
  }

  #fail(reason: string): void {
    this.drop();
    const { donor } = this.#message;
    this.#options.toCompute({ kind: 'stateFailed', reason: `the donor at ${donor} ${reason}` });
  }
}
