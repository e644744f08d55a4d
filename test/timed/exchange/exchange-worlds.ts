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
import {
  placesOf,
  type ExchangePrecision,
  type StepShape,
} from '../../../shared/plan/step-vector.js';
import { processClock } from '../../../shared/clock.js';
import type { Leaf, World } from '../../../shared/words.js';
import type {
  ExchangeCost,
  ExchangeEvents,
  ExchangeWorld,
  PeerLost,
  WorkerExchange,
} from '../../../worker/exchange/exchange.js';
import { createGrpcExchange, exchangeServerOptions } from '../../../worker/exchange/grpc.js';
import { startLane } from '../../../worker/exchange/lane-port.js';
import { joinLanes, type OpenLane } from '../../../worker/exchange/lanes.js';
import type { ExchangeLimits } from '../../../worker/exchange/limits.js';
import { ExchangeMemory, type Place } from '../../../worker/exchange/memory.js';
import type { WorldVectors } from '../../../worker/network/ports.js';

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

/** A step that sums so many float32 values, and nothing else. */
export function sumsOf(floats: number): StepShape {
  return { exact: floats, gradients: 0, factors: 0 };
}

/** The vectors of one rank, long enough for a shape, in a memory of its own as in a worker. */
export function vectorsFor(
  rank: number,
  workers: number,
  microShards: number,
  shape: StepShape,
  precision: ExchangePrecision = 'float32',
): Omit<ExchangeWorld, 'world' | 'rank'> {
  const memory = new ExchangeMemory();
  const { contributionBytes, resultBytes } = placesOf(shape, precision, microShards);
  const nodes = subtreesInside(shareOf(rank, workers, microShards), microShards);
  const vectors: WorldVectors = {
    ...{ microShards, precision, memory: memory.shared, contributionBytes, resultBytes },
    contributions: nodes.map(() => memory.allocate(contributionBytes)),
    results: [memory.allocate(resultBytes), memory.allocate(resultBytes)],
  };
  return { ...vectors, lane: 0, lanes: 1 };
}

/** The vectors of one rank that sums at most so many floats a step. */
export function createVectors(
  rank: number,
  workers: number,
  microShards: number,
  floats: number,
): Omit<ExchangeWorld, 'world' | 'rank'> {
  return vectorsFor(rank, workers, microShards, sumsOf(floats));
}

/** Writes this rank's contributions to a step; the rest of the vectors becomes NaN. */
export function contribute(world: ExchangeWorld, step: number, floats: number): void {
  const workers = world.world.members.length;
  const share = shareOf(world.rank, workers, world.microShards);
  subtreesInside(share, world.microShards).forEach((node, i) => {
    const place = world.contributions[i];
    floatsAt(world, place, world.contributionBytes / 4).fill(NaN);
    floatsAt(world, place, floats).set(treeSum(step, node, floats));
  });
}

/** The first floats of what came of a step. */
export function resultOf(world: ExchangeWorld, step: number, floats: number): Float32Array {
  return floatsAt(world, world.results[step % 2 === 0 ? 0 : 1], floats);
}

function floatsAt({ memory }: ExchangeWorld, place: Place, floats: number): Float32Array {
  return new Float32Array(memory.buffer, place, floats);
}

/** The world of some addresses; worker ids are "w0", "w1", ... */
export function worldOf(
  generation: number,
  addresses: readonly string[],
  lanes: readonly (readonly string[])[] = [],
): World {
  const members = addresses.map((address, rank) => {
    return { rank, worker: `w${rank}`, incarnation: 1, address, lanes: lanes[rank] ?? [] };
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

const waited = { waitedFor: undefined, waitedMs: 0 };
const noCost = { ...waited, sentBytes: 0, receivedBytes: 0, link: undefined };

/** An exchange with promises; what is pending rejects when its world is left. */
export class TestExchange {
  readonly lost: PeerLost[] = [];
  /** Steps whose factors are all there. */
  readonly gathered: number[] = [];
  readonly #exchange: WorkerExchange;
  #world: ExchangeWorld | undefined;
  #pending: { resolve(cost: ExchangeCost): void; reject(error: Error): void } | undefined;

  /** `more` are the lanes beside the first. */
  constructor(
    server: grpc.Server,
    limits: Partial<ExchangeLimits>,
    more: readonly OpenLane[] = [],
  ) {
    const events: ExchangeEvents = {
      onJoined: () => this.#pending?.resolve(noCost),
      onGathered: (_generation, step) => void this.gathered.push(step),
      onReduced: (_generation, _step, cost) => this.#pending?.resolve(cost),
      onPeerLost: (lost) => {
        this.lost.push(lost);
        this.#pending?.reject(new PeerLostError(lost));
      },
    };
    const first: OpenLane = (own) => createGrpcExchange({ server, limits, events: own });
    this.#exchange =
      more.length === 0 ? first(events) : joinLanes([first, ...more], events, processClock);
  }

  async join(world: ExchangeWorld): Promise<void> {
    this.#pending?.reject(new Error(`left for generation ${world.world.generation}`));
    this.#world = world;
    await this.#begin(() => this.#exchange.join(world));
  }

  /** Begins a step to which everything of ours is there, and waits for its end. */
  async allReduce(step: number, floats: number): Promise<ExchangeCost> {
    const reduced = this.begin(step, sumsOf(floats));
    for (const index of this.#world?.contributions.keys() ?? []) this.contribute(step, index);
    return reduced;
  }

  /** Begins a step; resolves when it is reduced. */
  async begin(step: number, shape: StepShape): Promise<ExchangeCost> {
    const generation = this.#world?.world.generation;
    const lost = this.lost.find((known) => known.generation === generation);
    if (lost !== undefined) throw new PeerLostError(lost);
    return this.#begin(() => this.#exchange.begin(step, shape));
  }

  contribute(step: number, index: number): void {
    this.#exchange.contribute(step, index);
  }

  publish(step: number, leaf: Leaf): void {
    this.#exchange.publish(step, leaf);
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
  /** Those of the lanes beside the first. */
  readonly lanes: readonly string[];
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

/** A worker with so many lanes, each of them but the first on a thread. */
export async function startWorker(
  limits: Partial<ExchangeLimits> = {},
  lanes = 1,
): Promise<TestWorker> {
  const server = new grpc.Server(exchangeServerOptions);
  const options = { worker: 'w', listen: '127.0.0.1:0', advertise: '127.0.0.1' };
  const more = await Promise.all(
    Array.from({ length: lanes - 1 }, (_, i) =>
      startLane({ ...options, lane: i + 1, limits, logLevel: 'silent' }),
    ),
  );
  const openLanes = more.map(({ open }) => open);
  const exchange = new TestExchange(server, limits, openLanes);
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
  return { exchange, address, lanes: more.map((one) => one.address), lost: exchange.lost, close };
}

/** Starts workers, runs `body`, and closes them whatever happens; `lanes` are those of each. */
export async function withWorkers(
  count: number,
  limits: Partial<ExchangeLimits>,
  body: (workers: readonly TestWorker[]) => Promise<void>,
  lanes: readonly number[] = [],
): Promise<void> {
  const workers: TestWorker[] = [];
  try {
    while (workers.length < count)
      workers.push(await startWorker(limits, lanes[workers.length] ?? 1));
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
  const world = worldOf(
    generation,
    workers.map(({ address }) => address),
    workers.map(({ lanes }) => lanes),
  );
  return workers.map((_, rank) => {
    return { world, rank, ...createVectors(rank, workers.length, microShards, floats) };
  });
}
