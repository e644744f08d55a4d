// One worker process of the exchange bench. Like a worker it keeps the exchange in a thread of
// its own; the main thread owns the vectors, asks for steps and takes the time.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import { shareOf, foldTree, subtreesInside, type TreeNode } from '../shared/plan/reduction.js';
import type { Rank, World } from '../shared/words.js';
import type { ThreadReport, ThreadTask } from './exchange-thread.js';
import { fillLeaf } from './exchange-values.js';

/** What the bench sends to each process. */
export interface BenchTask {
  readonly world: World;
  readonly rank: Rank;
  readonly microShards: number;
  readonly floats: number;
  readonly steps: number;
  readonly warmUp: number;
}

/** What a process sends back. */
export type BenchReport =
  | { readonly kind: 'address'; readonly address: string }
  | {
      readonly kind: 'finished';
      readonly stepSeconds: readonly number[];
      /** CPU seconds of this process at each measured step. */
      readonly cpuSeconds: readonly number[];
      /** SHA-256 of the results of the last two steps. */
      readonly digests: readonly string[];
    };

const thread = new Worker(new URL('./exchange-thread.js', import.meta.url));
const report = (message: BenchReport): void => void process.send?.(message);

process.once('message', (task: BenchTask) => void run(task));
report({ kind: 'address', address: (await next('address')).address });

async function run(task: BenchTask): Promise<void> {
  const { world, rank, microShards, floats, steps, warmUp } = task;
  const contributions = contributionsOf(task);
  const results = [sharedVector(floats), sharedVector(floats)] as const;
  tell({ kind: 'join', world: { world, rank, microShards, contributions, results } });
  await next('joined');
  const stepSeconds: number[] = [];
  const cpuSeconds: number[] = [];
  for (let step = 0; step < warmUp + steps; step++) {
    const cpuBefore = process.cpuUsage();
    const started = performance.now();
    tell({ kind: 'reduce', step, floats });
    await next('reduced');
    const { user, system } = process.cpuUsage(cpuBefore);
    if (step < warmUp) continue;
    stepSeconds.push((performance.now() - started) / 1000);
    cpuSeconds.push((user + system) / 1e6);
  }
  const digests = results.map((vector) => digestOf(vector));
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

function sharedVector(floats: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(4 * floats));
}

function contributionsOf({ world, rank, microShards, floats }: BenchTask): Float32Array[] {
  const share = shareOf(rank, world.members.length, microShards);
  return subtreesInside(share, microShards).map((node) => {
    const shared = sharedVector(floats);
    shared.set(sumOf(node, floats));
    return shared;
  });
}

function sumOf(root: TreeNode, floats: number): Float32Array {
  const leafOf = ({ start, end }: TreeNode): Float32Array | undefined => {
    if (end - start > 1) return undefined;
    const values = new Float32Array(floats);
    fillLeaf(values, start, 0);
    return values;
  };
  return foldTree(root, leafOf, (left, right) => {
    for (let i = 0; i < floats; i++) left[i] = Math.fround(left[i] + right[i]);
    return left;
  });
}

function digestOf(vector: Float32Array): string {
  return createHash('sha256').update(new Uint8Array(vector.buffer)).digest('hex');
}
