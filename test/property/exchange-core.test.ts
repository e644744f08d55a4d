// The exchange's core for any number of workers, micro-shards and lanes and any order of events: a
// cluster of cores in one process, whose "values" are the additions written out as text, so that a
// sum in another order, of another step or of another chunk can't pass.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { foldTree, shareOf } from '../../shared/plan/reduction.js';
import {
  chunkBytes,
  chunksOf,
  exchangePrecisions,
  placesOf,
  valueBytes,
  type ExchangePrecision,
  type StepShape,
} from '../../shared/plan/step-vector.js';
import type { FrameHeader, Pull } from '../../worker/exchange/core/messages.js';
import {
  createReceiver,
  type ReceiveEffect,
  type Receiver,
} from '../../worker/exchange/core/receive.js';
import { createSender, type Outgoing, type Sender } from '../../worker/exchange/core/send.js';
import {
  createFoldPlan,
  createStepProgress,
  reductionWorldOf,
  type FoldPlan,
  type ReductionWorld,
  type StepProgress,
} from '../../worker/exchange/core/world.js';

interface Cluster {
  readonly workers: number;
  readonly microShards: number;
  readonly lanes: number;
  readonly precision: ExchangePrecision;
  readonly windowChunks: number;
  /** What each step exchanges, in order. */
  readonly shapes: readonly StepShape[];
  /** Picks the next thing to happen. */
  readonly choices: readonly number[];
  /** A lane of a rank that hears of something only when nothing else can happen. */
  readonly lazy: { readonly rank: number; readonly lane: number };
  /** A rank that does nothing any more after so many things have happened. */
  readonly loss: { readonly rank: number; readonly turn: number } | undefined;
}

/** What is said to a lane, which it hears some time later. */
type Order =
  | { readonly kind: 'begin'; readonly step: number }
  | { readonly kind: 'contribute'; readonly index: number }
  | { readonly kind: 'publish'; readonly leaf: number };

/** A lane of a worker: what in a process is a thread. */
interface Lane {
  readonly world: ReductionWorld;
  readonly progress: StepProgress;
  readonly receiver: Receiver;
  readonly sender: Sender;
  readonly orders: Order[];
  /** Sums of other workers' nodes, by `chunk:node`. */
  readonly held: Map<string, string>;
  /** By peer: requests to it, and frames from it. */
  readonly requests: Pull[][];
  readonly frames: Sent[][];
  mostHeld: number;
  isGathered: boolean;
  isDone: boolean;
}

interface Worker {
  readonly lanes: readonly Lane[];
  /** What lies in the vectors, by the first byte of a chunk; results of even and odd steps. */
  readonly results: readonly [Map<number, string>, Map<number, string>];
  /** For each contribution the step of which it has the sums; undefined while they are added up. */
  readonly contributions: (number | undefined)[];
  step: number;
  /** The next leaf to compute. */
  leaf: number;
}

interface Sent {
  readonly header: FrameHeader;
  readonly value: string;
}

const firstStep = 5;

const anyShape = (precision: ExchangePrecision): fc.Arbitrary<StepShape> => {
  const full = chunkBytes / valueBytes[precision];
  return fc.record({
    exact: fc.integer({ min: 1, max: Math.floor((1.5 * chunkBytes) / 4) }),
    gradients: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 9 * full })),
    factors: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: Math.floor(2.5 * full) })),
  });
};

const arbitraryCluster: fc.Arbitrary<Cluster> = fc
  .record({
    microShards: fc.integer({ min: 1, max: 16 }),
    workers: fc.integer({ min: 1, max: 9 }),
    precision: fc.constantFrom(...exchangePrecisions),
  })
  .chain(({ microShards, workers, precision }) =>
    fc.record({
      ...{ microShards: fc.constant(microShards), precision: fc.constant(precision) },
      workers: fc.constant(Math.min(workers, microShards)),
      lanes: fc.integer({ min: 1, max: 3 }),
      windowChunks: fc.integer({ min: 1, max: 5 }),
      shapes: fc.array(anyShape(precision), { minLength: 1, maxLength: 4 }),
      choices: fc.array(fc.nat(), { minLength: 40, maxLength: 40 }),
      lazy: fc.record({ rank: fc.nat({ max: 8 }), lane: fc.nat({ max: 2 }) }),
      loss: fc.constant(undefined),
    }),
  );

/** The sum over [start, end) of what lies at a place of the vector, in the order of the tree. */
function written(step: number, place: number, start: number, end: number): string {
  return foldTree(
    { start, end },
    (node) => (node.end - node.start === 1 ? `s${step}b${place}l${node.start}` : undefined),
    (left, right) => `(${left}+${right})`,
  );
}

/** The factors of a leaf in one chunk. */
function factors(step: number, place: number): string {
  return `s${step}f${place}`;
}

function createLane(cluster: Cluster, plan: FoldPlan, rank: number, lane: number): Lane {
  const { workers, microShards, precision, lanes, shapes, windowChunks } = cluster;
  const members = Array.from({ length: workers }, (_, one) => {
    return { rank: one, worker: `w${one}`, incarnation: 1, address: '' };
  });
  const place = { world: { generation: 3, members }, rank, microShards, precision, lane, lanes };
  const sizes = shapes.map((shape) => placesOf(shape, precision, microShards));
  const lengths = {
    contributionBytes: Math.max(...sizes.map(({ contributionBytes }) => contributionBytes)),
    resultBytes: Math.max(...sizes.map(({ resultBytes }) => resultBytes)),
  };
  const world = { ...reductionWorldOf({ ...place, ...lengths }, plan, 1), windowChunks };
  const progress = createStepProgress(plan.heldBy[rank].length);
  const queues = <T>(): T[][] => Array.from({ length: workers }, () => []);
  return {
    ...{ world, progress, orders: [], held: new Map(), requests: queues(), frames: queues() },
    ...{ receiver: createReceiver(world, progress), sender: createSender(world, progress) },
    ...{ mostHeld: 0, isGathered: false, isDone: true },
  };
}

function createWorker(cluster: Cluster, plan: FoldPlan, rank: number): Worker {
  return {
    lanes: Array.from({ length: cluster.lanes }, (_, lane) =>
      createLane(cluster, plan, rank, lane),
    ),
    results: [new Map(), new Map()],
    contributions: plan.heldBy[rank].map(() => undefined),
    step: firstStep - 1,
    leaf: shareOf(rank, cluster.workers, cluster.microShards).end,
  };
}

interface Watching {
  /** The factors of all leaves are here, in all lanes. */
  onGathered?(worker: Worker, step: number): void;
  /** A step is complete in all lanes. */
  onDone?(worker: Worker, step: number): void;
}

/** Runs the cluster until nothing can happen any more. */
function run(cluster: Cluster, { onGathered, onDone }: Watching): Worker[] {
  const { workers: count, microShards, precision, shapes, choices, lazy, loss } = cluster;
  const plan = createFoldPlan(count, microShards);
  const workers = Array.from({ length: count }, (_, rank) => createWorker(cluster, plan, rank));
  const lastStep = firstStep + shapes.length - 1;
  const shapeOf = (step: number): StepShape => shapes[step - firstStep];
  let turn = 0;

  const say = (worker: Worker, order: Order): void => {
    for (const lane of worker.lanes) lane.orders.push(order);
  };
  /** From here on the compute thread writes into this step's result, and its contributions. */
  const beginStep = (rank: number): void => {
    const worker = workers[rank];
    worker.step += 1;
    worker.leaf = shareOf(rank, count, microShards).start;
    worker.results[worker.step % 2].clear();
    worker.contributions.fill(undefined);
    for (const lane of worker.lanes) [lane.isDone, lane.isGathered] = [false, false];
    say(worker, { kind: 'begin', step: worker.step });
  };
  const computeLeaf = (rank: number): void => {
    const worker = workers[rank];
    const { step, leaf } = worker;
    const result = worker.results[step % 2];
    for (const chunk of chunksOf(shapeOf(step), precision, microShards).leaves)
      if (chunk.leaf === leaf) result.set(chunk.start, factors(step, chunk.start));
    say(worker, { kind: 'publish', leaf });
    worker.leaf += 1;
    const index = plan.heldBy[rank].findIndex((node) => plan.nodes[node].end === leaf + 1);
    if (index < 0) return;
    worker.contributions[index] = step;
    say(worker, { kind: 'contribute', index });
  };
  const sumOf = (rank: number, index: number, place: number): string => {
    const step = workers[rank].contributions[index];
    assert.ok(step !== undefined, `contribution ${index} of rank ${rank} is not complete`);
    const { start, end } = plan.nodes[plan.heldBy[rank][index]];
    return written(step, place, start, end);
  };
  const valueOf = (rank: number, lane: Lane, chunk: number, node: number): string => {
    const index = plan.heldBy[rank].indexOf(node);
    if (index >= 0) return sumOf(rank, index, lane.progress.current!.chunks.all[chunk].start);
    const key = `${chunk}:${node}`;
    const value = lane.held.get(key);
    assert.ok(value !== undefined, `node ${key} is not held`);
    lane.held.delete(key);
    return value;
  };
  const perform = (
    rank: number,
    lane: Lane,
    effects: readonly ReceiveEffect[],
    value = '',
  ): void => {
    const worker = workers[rank];
    const { step, chunks } = lane.progress.current!;
    const result = worker.results[step % 2];
    for (const effect of effects) {
      if (effect.kind === 'ask') lane.requests[effect.to].push(effect.pull);
      else if (effect.kind === 'hold') lane.held.set(`${effect.chunk}:${effect.node}`, value);
      else if (effect.kind === 'store') result.set(chunks.all[effect.chunk].start, value);
      else if (effect.kind === 'refuse') assert.fail(effect.reason);
      else if (effect.kind === 'gathered') {
        assert.ok(!lane.isGathered && shapeOf(step).factors > 0);
        lane.isGathered = true;
        if (worker.lanes.every((one) => one.isGathered)) onGathered?.(worker, step);
      } else if (effect.kind === 'done') {
        assert.ok(!lane.isDone);
        assert.equal(lane.isGathered, shapeOf(step).factors > 0);
        lane.isDone = true;
        if (worker.lanes.every((one) => one.isDone)) onDone?.(worker, step);
      } else {
        const left = valueOf(rank, lane, effect.chunk, effect.left);
        const sum =
          effect.right === undefined
            ? left
            : `(${left}+${valueOf(rank, lane, effect.chunk, effect.right)})`;
        if (effect.kind === 'add') lane.held.set(`${effect.chunk}:${effect.node}`, sum);
        else result.set(chunks.all[effect.chunk].start, sum);
      }
    }
    const open = new Set([...lane.held.keys()].map((key) => key.split(':')[0]));
    lane.mostHeld = Math.max(lane.mostHeld, open.size);
  };
  const obey = (rank: number, lane: Lane, order: Order): void => {
    if (order.kind === 'begin') {
      const { step } = order;
      lane.progress.begin({ step, chunks: lane.world.chunksOf(shapeOf(step))! });
      assert.deepEqual(lane.sender.begin(), []);
      perform(rank, lane, lane.receiver.begin());
    } else if (order.kind === 'contribute')
      perform(rank, lane, lane.receiver.contributed(order.index));
    else perform(rank, lane, lane.receiver.published(order.leaf));
  };
  const valueToSend = (rank: number, { header, contribution, start }: Outgoing): string => {
    if (contribution !== undefined) return sumOf(rank, contribution, start);
    const value = workers[rank].results[header.step % 2].get(start);
    assert.ok(value !== undefined, `rank ${rank} sent ${header.kind} ${header.chunk} too early`);
    return value;
  };

  for (;;) {
    const isLost = (rank: number): boolean => rank === loss?.rank && turn >= loss.turn;
    const actions: (() => void)[] = [];
    const late: (() => void)[] = [];
    workers.forEach((worker, rank) => {
      if (isLost(rank)) return;
      const share = shareOf(rank, count, microShards);
      if (worker.leaf < share.end) actions.push(() => computeLeaf(rank));
      else if (worker.lanes.every(({ isDone }) => isDone) && worker.step < lastStep)
        actions.push(() => beginStep(rank));
      worker.lanes.forEach((lane, number) => {
        const isLazy = rank === lazy.rank && number === lazy.lane;
        if (lane.orders.length > 0)
          (isLazy ? late : actions).push(() => obey(rank, lane, lane.orders.shift()!));
        for (let peer = 0; peer < count; peer++) {
          if (isLost(peer)) continue;
          const theirs = workers[peer].lanes[number];
          const asked = theirs.requests[rank];
          if (asked.length > 0)
            actions.push(() => assert.equal(lane.sender.onPull(peer, asked.shift()!), undefined));
          if (lane.sender.canSend(peer))
            actions.push(() => {
              const frame = lane.sender.nextFrame(peer)!;
              theirs.frames[rank].push({ header: frame.header, value: valueToSend(rank, frame) });
            });
          const arriving = lane.frames[peer];
          if (arriving.length > 0)
            actions.push(() => {
              // Any order within a stream, too: the core must not lean on it.
              const [sent] = arriving.splice(choices[(turn * 7) % 40] % arriving.length, 1);
              perform(rank, lane, lane.receiver.onFrame(peer, sent.header), sent.value);
            });
        }
      });
    });
    if (actions.length === 0) actions.push(...late);
    if (actions.length === 0) return workers;
    actions[(choices[turn % 40] + turn) % actions.length]();
    turn += 1;
  }
}

/** That a worker holds what the definition says of a step; of its leaves only, or of everything. */
function checkResult(
  { microShards, precision, shapes }: Cluster,
  { results }: Worker,
  step: number,
  isAll: boolean,
): void {
  const { sums, leaves } = chunksOf(shapes[step - firstStep], precision, microShards);
  const result = results[step % 2];
  for (const { start } of leaves) assert.equal(result.get(start), factors(step, start));
  if (!isAll) return;
  for (const { start } of sums)
    assert.equal(result.get(start), written(step, start, 0, microShards));
  assert.equal(result.size, sums.length + leaves.length);
}

test('every rank gets the canonical sums and all factors, whatever comes first', () => {
  fc.assert(
    fc.property(arbitraryCluster, (cluster) => {
      let [gathered, done] = [0, 0];
      const workers = run(cluster, {
        onGathered: (worker, step) => {
          gathered += 1;
          checkResult(cluster, worker, step, false);
        },
        onDone: (worker, step) => {
          done += 1;
          checkResult(cluster, worker, step, true);
        },
      });
      const factored = cluster.shapes.filter((shape) => shape.factors > 0).length;
      assert.equal(gathered, cluster.workers * factored);
      assert.equal(done, cluster.workers * cluster.shapes.length);
      for (const { held, mostHeld } of workers.flatMap(({ lanes }) => lanes)) {
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
      const workers = run(cluster, {});
      for (const [rank, { lanes }] of workers.entries())
        for (const { receiver, sender } of lanes)
          for (let peer = 0; peer < cluster.workers; peer++) {
            if (peer === rank) continue;
            assert.equal(receiver.awaited(peer), 0);
            assert.equal(receiver.needs(peer), false);
            assert.equal(sender.owes(peer), false);
            assert.equal(sender.isServed(peer), true);
          }
    }),
    { numRuns: 100 },
  );
});

const withLoss = fc
  .tuple(arbitraryCluster, fc.nat({ max: 12 }), fc.nat({ max: 1_500 }))
  .map(([cluster, rank, turn]) => ({ ...cluster, loss: { rank: rank % cluster.workers, turn } }));

test('when a rank is lost, steps that are completed are right, and others need somebody', () => {
  fc.assert(
    fc.property(withLoss, (cluster) => {
      const onGathered = (worker: Worker, step: number): void =>
        checkResult(cluster, worker, step, false);
      const onDone = (worker: Worker, step: number): void =>
        checkResult(cluster, worker, step, true);
      const workers = run(cluster, { onGathered, onDone });
      for (const [rank, { lanes }] of workers.entries()) {
        if (rank === cluster.loss?.rank) continue;
        for (const { isDone, receiver } of lanes)
          assert.ok(isDone || workers.some((_, peer) => receiver.needs(peer)), `rank ${rank}`);
      }
    }),
    { numRuns: 150 },
  );
});
