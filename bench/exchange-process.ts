// One worker process of the exchange bench. Like a worker it keeps the exchange in a thread of
// its own; the main thread owns the vectors, asks for steps and takes the time.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import { shareOf, subtreesInside } from '../shared/plan/reduction.js';
import { placesOf, type ExchangePrecision } from '../shared/plan/step-vector.js';
import type { Rank, World } from '../shared/words.js';
import type { ThreadData, ThreadReport, ThreadTask } from './exchange-thread.js';
import type { ExchangeWorld } from '../worker/exchange/exchange.js';
import { ExchangeMemory } from '../worker/exchange/memory.js';
import { benchShape, blockSum, bytesOfValues } from './exchange-values.js';

/** What the bench sends to each process. */
export interface BenchTask {
  readonly world: World;
  readonly rank: Rank;
  readonly microShards: number;
  /** Values that are summed in `precision`. */
  readonly floats: number;
  readonly precision: ExchangePrecision;
  readonly steps: number;
  readonly warmUp: number;
}

/** What a process sends back. */
export type BenchReport =
  | {
      readonly kind: 'address';
      readonly address: string;
      readonly lanes: readonly string[];
      readonly socket: string | undefined;
    }
  | {
      readonly kind: 'finished';
      readonly stepSeconds: readonly number[];
      /** CPU seconds of this process at each measured step. */
      readonly cpuSeconds: readonly number[];
      /** SHA-256 of the results of the last two steps. */
      readonly digests: readonly string[];
    };

const [, , lanes, worker, tlsFolder] = process.argv;
const workerData: ThreadData = { lanes: Number(lanes), worker, tlsFolder };
const thread = new Worker(new URL('./exchange-thread.js', import.meta.url), { workerData });
const report = (message: BenchReport): void => void process.send?.(message);

process.once('message', (task: BenchTask) => void run(task));
report(await next('address'));

async function run(task: BenchTask): Promise<void> {
  const { floats, steps, warmUp } = task;
  const memory = new ExchangeMemory();
  const world = exchangeWorldOf(task, memory);
  const reduce = { shape: benchShape(floats), contributions: world.contributions.length };
  tell({ kind: 'join', world });
  await next('joined');
  const stepSeconds: number[] = [];
  const cpuSeconds: number[] = [];
  for (let step = 0; step < warmUp + steps; step++) {
    const cpuBefore = process.cpuUsage();
    const started = performance.now();
    tell({ kind: 'reduce', step, ...reduce });
    await next('reduced');
    const { user, system } = process.cpuUsage(cpuBefore);
    if (step < warmUp) continue;
    stepSeconds.push((performance.now() - started) / 1000);
    cpuSeconds.push((user + system) / 1e6);
  }
  const { start, end } = placesOfTask(task).gradients;
  const digests = world.results.map((place) =>
    createHash('sha256')
      .update(memory.bytes(place + start, end - start))
      .digest('hex'),
  );
  report({ kind: 'finished', stepSeconds, cpuSeconds, digests });
}

function tell(message: ThreadTask): void {
  thread.postMessage(message);
}

async function next<K extends ThreadReport['kind']>(
  kind: K,
): Promise<Extract<ThreadReport, { readonly kind: K }>> {
  const [message] = (await once(thread, 'message')) as [ThreadReport];
  if (message.kind !== kind) throw new Error(`the thread says ${JSON.stringify(message)}`);
  return message as Extract<ThreadReport, { readonly kind: K }>;
}

function placesOfTask({ floats, microShards, precision }: BenchTask) {
  return placesOf(benchShape(floats), precision, microShards);
}

/** The world of a task, its contributions filled. */
function exchangeWorldOf(task: BenchTask, memory: ExchangeMemory): ExchangeWorld {
  const { world, rank, microShards, floats, precision } = task;
  const { gradients, contributionBytes, resultBytes } = placesOfTask(task);
  const share = shareOf(rank, world.members.length, microShards);
  const contributions = subtreesInside(share, microShards).map((node) => {
    const place = memory.allocate(contributionBytes);
    const bytes = bytesOfValues(precision, blockSum(node, 0, floats, precision));
    memory.bytes(place + gradients.start, bytes.length).set(bytes);
    return place;
  });
  return {
    ...{ world, rank, microShards, precision, lane: 0, lanes: 1, memory: memory.shared },
    ...{ contributions, results: [memory.allocate(resultBytes), memory.allocate(resultBytes)] },
    ...{ contributionBytes, resultBytes },
  };
}
