// Worlds for the exchange's tests: numbers whose order of addition shows, the reference sum
// written from the definition, and real exchanges on loopback.

import assert from 'node:assert/strict';
import * as grpc from '@grpc/grpc-js';

import {
  shareOf,
  foldTree,
  subtreesInside,
  type TreeNode,
} from '../../../shared/plan/reduction.js';
import type { World } from '../../../shared/words.js';
import type {
  Exchange,
  ExchangeCost,
  ExchangeWorld,
  PeerLost,
} from '../../../worker/exchange/exchange.js';
import { createGrpcExchange, exchangeServerOptions } from '../../../worker/exchange/grpc.js';
import type { ExchangeLimits } from '../../../worker/exchange/limits.js';

/** The gradient of one leaf: magnitudes from 1e-3 to 1e3, so that the order of sums shows. */
export function leafValues(step: number, leaf: number, floats: number): Float32Array {
  const scales = [1e-3, 1, 37, 1e3];
  const values = new Float32Array(floats);
  for (let i = 0; i < floats; i++) {
    const mixed = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(leaf + 1, 0x85ebca6b) ^ (step * 7919);
    values[i] = (Math.imul(mixed, 0xc2b2ae35) / 2 ** 31) * scales[(i + leaf) % 4];
  }
  return values;
}

/** The sum of a subtree in the order of the tree: plain loops, nothing of the exchange. */
export function treeSum(step: number, node: TreeNode, floats: number): Float32Array {
  return foldTree(
    node,
    ({ start, end }) => (end - start === 1 ? leafValues(step, start, floats) : undefined),
    (left, right) => left.map((value, i) => Math.fround(value + right[i])),
  );
}

/** What every worker must hold after the step. */
export function reference(step: number, microShards: number, floats: number): Float32Array {
  const sum = treeSum(step, { start: 0, end: microShards }, floats);
  return sum.map((value) => Math.fround(value * Math.fround(1 / microShards)));
}

/** The vectors of one rank, in shared memory as in a worker. */
export function createVectors(
  rank: number,
  workers: number,
  microShards: number,
  floats: number,
): Pick<ExchangeWorld, 'microShards' | 'contributions' | 'results'> {
  const vector = (): Float32Array => new Float32Array(new SharedArrayBuffer(4 * floats));
  const nodes = subtreesInside(shareOf(rank, workers, microShards), microShards);
  return { microShards, contributions: nodes.map(vector), results: [vector(), vector()] };
}

/** Writes this rank's contributions to a step; the rest of the vectors becomes NaN. */
export function contribute(world: ExchangeWorld, step: number, floats: number): void {
  const workers = world.world.members.length;
  const share = shareOf(world.rank, workers, world.microShards);
  subtreesInside(share, world.microShards).forEach((node, i) => {
    world.contributions[i].fill(NaN);
    world.contributions[i].set(treeSum(step, node, floats));
  });
}

/** The world of some addresses; worker ids are "w0", "w1", ... */
export function worldOf(generation: number, addresses: readonly string[]): World {
  const members = addresses.map((address, rank) => {
    return { rank, worker: `w${rank}`, incarnation: 1, address };
  });
  return { generation, members };
}

/** Asserts that two vectors have the same bits. */
export function assertSameBits(actual: Float32Array, expected: Float32Array, what: string): void {
  const bytes = (v: Float32Array): Buffer => Buffer.from(v.buffer, v.byteOffset, v.byteLength);
  assert.ok(bytes(actual).equals(bytes(expected)), `${what}: bits differ`);
}

/** What a pending `join` or `allReduce` rejects with when a peer is lost. */
export class PeerLostError extends Error {
  constructor(readonly lost: PeerLost) {
    super(`worker ${lost.worker} (rank ${lost.rank}) ${lost.reason}`);
    this.name = 'PeerLostError';
  }
}

const noCost = { waitedFor: undefined, waitedMs: 0, sentBytes: 0, receivedBytes: 0 };

/** An exchange with promises; what is pending rejects when its world is left. */
export class TestExchange {
  readonly lost: PeerLost[] = [];
  readonly #exchange: Exchange;
  #world: ExchangeWorld | undefined;
  #pending: { resolve(cost: ExchangeCost): void; reject(error: Error): void } | undefined;

  constructor(server: grpc.Server, limits: Partial<ExchangeLimits>) {
    const events = {
      onJoined: () => this.#pending?.resolve(noCost),
      onReduced: (_generation: number, _step: number, cost: ExchangeCost) =>
        this.#pending?.resolve(cost),
      onPeerLost: (lost: PeerLost) => {
        this.lost.push(lost);
        this.#pending?.reject(new PeerLostError(lost));
      },
    };
    this.#exchange = createGrpcExchange({ server, limits, events });
  }

  async join(world: ExchangeWorld): Promise<void> {
    this.#pending?.reject(new Error(`left for generation ${world.world.generation}`));
    this.#world = world;
    await this.#begin(() => this.#exchange.join(world));
  }

  async allReduce(step: number, floats: number): Promise<ExchangeCost> {
    const generation = this.#world?.world.generation;
    const lost = this.lost.find((known) => known.generation === generation);
    if (lost !== undefined) throw new PeerLostError(lost);
    return this.#begin(() => this.#exchange.allReduce(step, floats));
  }

  #begin(run: () => void): Promise<ExchangeCost> {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      run();
    });
  }

  mute(worker: string, ms: number): void {
    this.#exchange.mute(worker, ms);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#exchange.close(resolve));
    this.#pending?.reject(new Error('this worker has closed its exchange'));
  }
}

/** One worker of a test: an exchange on its own server, and what it reported. */
export interface TestWorker {
  readonly exchange: TestExchange;
  /** "host:port" as bound. */
  readonly address: string;
  readonly lost: readonly PeerLost[];
  /** Closes the exchange, then the server. */
  close(): Promise<void>;
}

/** Binds a server to a port of this machine. */
export function bind(server: grpc.Server): Promise<string> {
  const insecure = grpc.ServerCredentials.createInsecure();
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', insecure, (error, port) =>
      error === null ? resolve(`127.0.0.1:${port}`) : reject(error),
    );
  });
}

export async function startWorker(limits: Partial<ExchangeLimits> = {}): Promise<TestWorker> {
  const server = new grpc.Server(exchangeServerOptions);
  const exchange = new TestExchange(server, limits);
  const address = await bind(server);
  const close = async (): Promise<void> => {
    await exchange.close();
    // Peers that read get the status of their streams; one that is frozen must not hold us up.
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 500);
      server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    server.forceShutdown();
  };
  return { exchange, address, lost: exchange.lost, close };
}

/** Starts workers, runs `body`, and closes them whatever happens. */
export async function withWorkers(
  count: number,
  limits: Partial<ExchangeLimits>,
  body: (workers: readonly TestWorker[]) => Promise<void>,
): Promise<void> {
  const workers: TestWorker[] = [];
  try {
    while (workers.length < count) workers.push(await startWorker(limits));
    await body(workers);
  } finally {
    await Promise.all(workers.map((worker) => worker.close()));
  }
}

/** The exchange worlds of workers that are all in this process. */
export function localWorlds(
  workers: readonly TestWorker[],
  microShards: number,
  floats: number,
  generation = 1,
): ExchangeWorld[] {
  const addresses = workers.map((worker) => worker.address);
  const world = worldOf(generation, addresses);
  return workers.map((_, rank) => {
    return { world, rank, ...createVectors(rank, workers.length, microShards, floats) };
  });
}
