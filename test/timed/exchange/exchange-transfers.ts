// States for the transfer's tests: bytes that say where they belong, a donor that serves them, and
// a receiver that checks them as they come.

import assert from 'node:assert/strict';
import * as grpc from '@grpc/grpc-js';

import { exchangeServerOptions } from '../../../worker/exchange/grpc.js';
import type { StateHeader, ToCompute } from '../../../worker/network/ports.js';
import type { StateClient } from '../../../worker/transfer/fetch-state.js';
import { createGrpcStateClient, createGrpcStateServer } from '../../../worker/transfer/grpc.js';
import type { ServedMessage, StateServer } from '../../../worker/transfer/serve-state.js';
import type { TransferLimits } from '../../../worker/transfer/state-frame.js';
import { until } from '../../support/until.js';
import { bind } from './exchange-worlds.js';

/** The bytes of a synthetic state from `offset` on: words that are their own index. */
export function stateBytes(offset: number, length: number): Uint8Array {
  const first = offset - (offset % 4);
  const words = new Uint32Array(Math.ceil((offset - first + length) / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(first / 4 + i, 0x9e3779b1);
  return new Uint8Array(words.buffer, offset - first, length);
}

/** A header for so many bytes. */
export function headerOf(step: number, bytes: number): StateHeader {
  return { step, bytes, digest: 'd'.repeat(64), updates: { generator: step }, skippedInARow: 0 };
}

/** The compute thread of a donor: answers at once, and counts what was asked of it. */
export function answerOf(message: ToCompute, bytes: number): ServedMessage {
  if (message.kind === 'serveState') {
    const { request, step } = message;
    if (step === 13) return { kind: 'serveRefused', request, reason: 'this worker is at step 7' };
    return { kind: 'servedHeader', request, header: headerOf(step, bytes) };
  }
  assert.ok(message.kind === 'serveMore');
  const { request, offset, maxBytes } = message;
  return { kind: 'servedChunk', request, bytes: stateBytes(offset, maxBytes) };
}

/** A donor in this process. */
export interface TestDonor {
  readonly address: string;
  readonly state: StateServer;
  /** Bytes its compute thread was asked for. */
  askedBytes: number;
  /** While true its compute thread does not answer. */
  isStuck: boolean;
  readonly facts: string[];
}

/** Starts a donor of generation 1, runs `body`, and ends it whatever happens. */
export async function withDonor(
  bytes: number,
  limits: Partial<TransferLimits>,
  body: (donor: TestDonor) => Promise<void>,
): Promise<void> {
  const server = new grpc.Server(exchangeServerOptions);
  const facts: string[] = [];
  const toCompute = (message: ToCompute): void => {
    if (donor.isStuck) return;
    if (message.kind === 'serveMore') donor.askedBytes += message.maxBytes;
    setImmediate(() => state.onCompute(answerOf(message, bytes)));
  };
  const log = (fact: string, { reason }: Readonly<Record<string, unknown>>): void =>
    void facts.push(`${fact}: ${String(reason)}`);
  const state = createGrpcStateServer(server, { toCompute, limits, log });
  state.setWorld(1, () => true);
  const address = await bind(server);
  const donor: TestDonor = { address, state, askedBytes: 0, isStuck: false, facts };
  try {
    await body(donor);
  } finally {
    state.close();
    server.forceShutdown();
  }
}

/** A receiver: checks every byte against `stateBytes`; takes chunks unless `isLazy`. */
export class TestReceiver {
  readonly client: StateClient;
  header: StateHeader | undefined;
  received = 0;
  chunks = 0;
  failed: string | undefined;
  isLazy = false;

  constructor(limits: Partial<TransferLimits> = {}) {
    const toCompute = (message: ToCompute): void => this.#take(message);
    this.client = createGrpcStateClient({ worker: 'receiver', toCompute, limits });
  }

  fetch(donor: string, generation = 1, step = 7): void {
    this.client.fetch({ kind: 'fetchState', generation, donor, step });
  }

  get isWhole(): boolean {
    return this.header !== undefined && this.received === this.header.bytes;
  }

  /** Waits until the state is whole, or has failed. */
  async over(): Promise<void> {
    await until(() => this.isWhole || this.failed !== undefined, 'the transfer is over', 30_000);
  }

  #take(message: ToCompute): void {
    assert.equal(this.failed, undefined, 'nothing follows a failure');
    if (message.kind === 'stateHeader') {
      assert.equal(this.header, undefined);
      this.header = message.header;
    } else if (message.kind === 'stateFailed') {
      this.failed = message.reason;
    } else {
      assert.ok(message.kind === 'stateChunk' && this.header !== undefined);
      const expected = stateBytes(this.received, message.bytes.length);
      assert.ok(Buffer.from(message.bytes).equals(expected), `bytes at ${this.received}`);
      this.received += message.bytes.length;
      this.chunks += 1;
      if (!this.isLazy) setImmediate(() => this.client.taken());
    }
  }
}
