// The exchange's core for any number of workers and micro-shards and any order of arrival: a
// cluster of cores in one process, whose "values" are the additions written out as text, so that
// a sum in another order, of another step or of another chunk can't pass.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { chunkCount, chunkFloats, foldTree } from '../../shared/plan/reduction.js';
import type { FrameHeader, Pull } from '../../worker/exchange/core/messages.js';
import {
  createReceiver,
  type ReceiveEffect,
  type Receiver,
} from '../../worker/exchange/core/receive.js';
import { createSender, type Sender } from '../../worker/exchange/core/send.js';
import {
  createFoldPlan,
  createStepProgress,
  type FoldPlan,
  type StepProgress,
} from '../../worker/exchange/core/world.js';

interface Cluster {
  readonly workers: number;
  readonly microShards: number;
  readonly windowChunks: number;
  /** Floats of each step, in order. */
  readonly lengths: readonly number[];
  /** Picks the next thing to happen. */
  readonly choices: readonly number[];
}

interface Worker {
  readonly progress: StepProgress;
  readonly receiver: Receiver;
  readonly sender: Sender;
  /** Sums of other workers' nodes, by `chunk:node`. */
  readonly held: Map<string, string>;
  readonly results: [Map<number, string>, Map<number, string>];
  /** The step its contributions are of; the next is written as soon as a step is complete. */
  contributed: number;
  mostHeld: number;
}

interface Sent {
  readonly header: FrameHeader;
  readonly value: string;
}

const firstStep = 5;
const arbitraryCluster: fc.Arbitrary<Cluster> = fc
  .tuple(fc.integer({ min: 1, max: 13 }), fc.integer({ min: 1, max: 7 }))
  .chain(([microShards, workers]) =>
    fc.record({
      workers: fc.constant(Math.min(workers, microShards)),
      microShards: fc.constant(microShards),
      windowChunks: fc.integer({ min: 1, max: 5 }),
      lengths: fc.array(fc.integer({ min: 1, max: 12 * chunkFloats }), {
        minLength: 1,
        maxLength: 4,
      }),
      choices: fc.array(fc.nat(), { minLength: 40, maxLength: 40 }),
    }),
  );

/** The sum over [start, end) of one chunk at one step, written out in the order of the tree. */
function written(step: number, chunk: number, start: number, end: number): string {
  return foldTree(
    { start, end },
    (node) => (node.end - node.start === 1 ? `s${step}c${chunk}l${node.start}` : undefined),
    (left, right) => `(${left}+${right})`,
  );
}

function createWorker(cluster: Cluster, plan: FoldPlan, rank: number): Worker {
  const progress = createStepProgress();
  const { workers: worldSize, windowChunks } = cluster;
  const capacity = Math.max(...cluster.lengths);
  const core = { generation: 3, rank, worldSize, plan, capacity, windowChunks };
  const receiver = createReceiver(core, progress);
  const sender = createSender(core, progress);
  const results: Worker['results'] = [new Map(), new Map()];
  const contributed = firstStep;
  return { progress, receiver, sender, held: new Map(), results, contributed, mostHeld: 0 };
}

/** Runs the cluster to its end; returns the workers, whose results are those of the last steps. */
function run(cluster: Cluster, onDone: (worker: Worker, step: number) => void): Worker[] {
  const { workers: count, microShards, lengths } = cluster;
  const plan = createFoldPlan(count, microShards);
  const workers = Array.from({ length: count }, (_, rank) => createWorker(cluster, plan, rank));
  const requests = matrix<Pull>(count);
  const frames = matrix<Sent>(count);
  const lastStep = firstStep + lengths.length - 1;
  let turn = 0;

  const valueOf = (worker: Worker, rank: number, chunk: number, node: number): string => {
    const { start, end, holder } = plan.nodes[node];
    if (holder === rank) return written(worker.contributed, chunk, start, end);
    const key = `${chunk}:${node}`;
    const value = worker.held.get(key);
    assert.ok(value !== undefined, `node ${key} is not held`);
    worker.held.delete(key);
    return value;
  };
  const perform = (rank: number, effects: readonly ReceiveEffect[], value: string): void => {
    const worker = workers[rank];
    const result = worker.results[worker.progress.current!.step % 2];
    for (const effect of effects) {
      if (effect.kind === 'ask') requests[rank][effect.to].push(effect.pull);
      else if (effect.kind === 'hold') worker.held.set(`${effect.chunk}:${effect.node}`, value);
      else if (effect.kind === 'store') result.set(effect.chunk, value);
      else if (effect.kind === 'refuse') assert.fail(effect.reason);
      else if (effect.kind === 'done') {
        onDone(worker, effect.step);
        worker.contributed = effect.step + 1;
      } else {
        const left = valueOf(worker, rank, effect.chunk, effect.left);
        const right =
          effect.right === undefined ? '' : valueOf(worker, rank, effect.chunk, effect.right);
        const sum = effect.right === undefined ? left : `(${left}+${right})`;
        if (effect.kind === 'add') worker.held.set(`${effect.chunk}:${effect.node}`, sum);
        else result.set(effect.chunk, sum);
      }
    }
    const chunks = new Set([...worker.held.keys()].map((key) => key.split(':')[0]));
    worker.mostHeld = Math.max(worker.mostHeld, chunks.size);
  };
  const begin = (rank: number): void => {
    const worker = workers[rank];
    const step = (worker.progress.current?.step ?? firstStep - 1) + 1;
    worker.results[step % 2].clear();
    worker.progress.begin({ step, floats: lengths[step - firstStep] });
    assert.deepEqual(worker.sender.begin(), []);
    perform(rank, worker.receiver.begin(), '');
  };
  const send = (from: number, to: number): void => {
    const worker = workers[from];
    const frame = worker.sender.nextFrame(to)!;
    const { step, chunk, start, end } = frame.header;
    const isSum = frame.contribution !== undefined;
    const value = isSum
      ? written(worker.contributed, chunk, start, end)
      : worker.results[step % 2].get(chunk);
    assert.ok(value !== undefined, `rank ${from} sent chunk ${chunk} before it had it`);
    frames[from][to].push({ header: frame.header, value });
  };

  for (;;) {
    const actions: (() => void)[] = [];
    workers.forEach((worker, rank) => {
      const { current, isComplete } = worker.progress;
      if (isComplete && (current?.step ?? 0) < lastStep) actions.push(() => begin(rank));
      for (let peer = 0; peer < count; peer++) {
        const asked = requests[peer][rank];
        if (asked.length > 0) {
          actions.push(() => {
            assert.equal(worker.sender.onPull(peer, asked.shift()!), undefined);
          });
        }
        if (worker.sender.canSend(peer)) actions.push(() => send(rank, peer));
        const arriving = frames[peer][rank];
        if (arriving.length > 0) {
          actions.push(() => {
            // Any order within a stream, too: the core must not lean on it.
            const index = cluster.choices[(turn * 7) % 40] % arriving.length;
            const [sent] = arriving.splice(index, 1);
            perform(rank, worker.receiver.onFrame(peer, sent.header), sent.value);
          });
        }
      }
    });
    if (actions.length === 0) return workers;
    actions[(cluster.choices[turn % 40] + turn) % actions.length]();
    turn += 1;
  }
}

function matrix<T>(count: number): T[][][] {
  return Array.from({ length: count }, () => Array.from({ length: count }, () => []));
}

test('every rank gets the canonical sum of every chunk, whatever arrives first', () => {
  fc.assert(
    fc.property(arbitraryCluster, (cluster) => {
      const finished: number[] = [];
      const workers = run(cluster, (worker, step) => {
        finished.push(step);
        const count = chunkCount(cluster.lengths[step - firstStep]);
        const result = worker.results[step % 2];
        assert.equal(result.size, count);
        for (let chunk = 0; chunk < count; chunk++) {
          assert.equal(result.get(chunk), written(step, chunk, 0, cluster.microShards));
        }
      });
      assert.equal(finished.length, cluster.workers * cluster.lengths.length);
      for (const { held, mostHeld } of workers) {
        assert.equal(held.size, 0);
        assert.ok(mostHeld <= cluster.windowChunks, `${mostHeld} chunks held`);
      }
    }),
    { numRuns: 300 },
  );
});

test('when a step is over everywhere nothing is awaited, owed or left unserved', () => {
  fc.assert(
    fc.property(arbitraryCluster, (cluster) => {
      const workers = run(cluster, () => undefined);
      for (const [rank, { receiver, sender }] of workers.entries()) {
        for (let peer = 0; peer < cluster.workers; peer++) {
          if (peer === rank) continue;
          assert.equal(receiver.awaited(peer), 0);
          assert.equal(receiver.needs(peer), false);
          assert.equal(sender.owes(peer), false);
          assert.equal(sender.isServed(peer), true);
        }
      }
    }),
    { numRuns: 100 },
  );
});
