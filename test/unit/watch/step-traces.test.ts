// A coordinator that takes a trace, and the network threads of its workers, on a clock that is
// moved by hand: what is asked of whom, what is bounded, and what is said of who is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStepTraces } from '../../../coordinator/edge/step-traces.js';
import type { RunStatus } from '../../../shared/control/admin.js';
import { loadControlService, toWire } from '../../../shared/control/codec.js';
import type {
  StepSpan,
  TraceAnswer,
  TraceOrder,
  TraceReply,
} from '../../../shared/control/tracing.js';
import type { ToCompute } from '../../../worker/network/ports.js';
import { createNodeTracing, type NodeTracing } from '../../../worker/step-trace/node-tracing.js';
import { createHandClock } from '../../support/watch/hand-clock.js';
import { statusOf, workerOf } from '../chaos/run-status.js';

const spanOf = (step: number, name = 'step'): StepSpan => {
  return { thread: 'compute', name, startUs: 1e15, durationUs: 5, generation: 7, step };
};

/** A coordinator with workers a, b and c, whose compute threads are played by the test. */
function openRun() {
  const clock = createHandClock();
  const orders: [worker: string, order: TraceOrder][] = [];
  const nodes = new Map<string, NodeTracing>();
  let status = statusOf();
  const traces = createStepTraces({
    ...{ clock, status: () => status },
    send: (worker, order) => {
      if (order.kind === 'trace') orders.push([worker, order]);
      const answer = (message: TraceAnswer): void => traces.onAnswer(worker, message);
      queueMicrotask(() => nodes.get(worker)?.onOrder(order, answer));
    },
  });
  const toCompute: ToCompute[] = [];
  for (const worker of ['a', 'b', 'c'])
    nodes.set(
      worker,
      createNodeTracing(clock, (message) => toCompute.push(message)),
    );
  const replies: TraceReply[] = [];
  const reader = { hasRoom: true };
  const gone = new AbortController();
  const begin = (steps: number): Promise<void> =>
    traces.trace(steps, (reply) => reader.hasRoom && replies.push(reply) > 0, gone.signal);
  return {
    ...{ clock, orders, nodes, traces, toCompute, replies, reader, gone, begin },
    become: (changes: Partial<RunStatus>) => (status = { ...status, ...changes }),
    /** The compute threads of these have recorded so many spans of a step, their last. */
    record: (workers: readonly string[], spans: readonly StepSpan[], isLast = true) => {
      const [, order] = orders.find(([, { kind }]) => kind === 'trace') ?? [];
      for (const worker of workers)
        nodes.get(worker)?.onRecorded({ kind: 'recorded', id: order?.id ?? 0, spans, isLast });
    },
  };
}

test('all workers record the same next steps, and what they send is passed on', async () => {
  const run = openRun();
  const taken = run.begin(3);
  await run.clock.pass(100);
  assert.deepEqual(
    run.orders.map(([worker, order]) => [worker, order.kind === 'trace' && order.firstStep]),
    [
      ['a', 12],
      ['b', 12],
      ['c', 12],
    ],
  );
  const [started] = run.replies;
  assert.ok(started?.kind === 'traceStarted');
  assert.deepEqual([started.firstStep, started.steps], [12, 3]);
  assert.ok(started.workers.every(({ clock }) => (clock[0]?.exchanges ?? 0) >= 16));
  const [order] = run.toCompute;
  assert.ok(order?.kind === 'record');
  assert.deepEqual([order.firstStep, order.endStep], [12, 15]);
  run.record(['a', 'b', 'c'], [spanOf(12), spanOf(13), spanOf(14)]);
  await run.clock.pass(1_000);
  await taken;
  const parts = run.replies.filter((reply) => reply.kind === 'tracePart');
  assert.deepEqual(parts.map(({ worker }) => worker).sort(), ['a', 'b', 'c']);
  const ended = run.replies.at(-1);
  assert.ok(ended?.kind === 'traceEnded');
  for (const { clock, trouble, dropped } of ended.workers)
    assert.deepEqual([clock.length, trouble, dropped], [2, '', 0]);
});

test('what a slow reader has no room for is dropped and counted', async () => {
  const run = openRun();
  const taken = run.begin(1);
  await run.clock.pass(100);
  run.record(['a', 'b'], [spanOf(12)]);
  await run.clock.pass(1_000);
  run.reader.hasRoom = false;
  run.record(['c'], [spanOf(12), spanOf(12, 'data')], false);
  await run.clock.pass(1_000);
  run.reader.hasRoom = true;
  run.record(['c'], []);
  await run.clock.pass(1_000);
  await taken;
  const ended = run.replies.at(-1);
  assert.ok(ended?.kind === 'traceEnded');
  assert.deepEqual(
    ended.workers.map(({ dropped }) => dropped),
    [0, 0, 2],
  );
});

test('a worker that is lost is named, and the others are waited for', async () => {
  const run = openRun();
  const taken = run.begin(2);
  await run.clock.pass(100);
  run.become({ workers: [workerOf('a', 0), workerOf('b', -1, { isConnected: false })] });
  run.record(['a'], [spanOf(12)]);
  await run.clock.pass(1_000);
  run.become({ workers: [workerOf('a', 0), workerOf('c', 2, { incarnation: 2 })] });
  await run.clock.pass(5_000);
  await taken;
  const ended = run.replies.at(-1);
  assert.ok(ended?.kind === 'traceEnded');
  assert.deepEqual(
    ended.workers.map(({ worker, trouble }) => [worker, trouble]),
    [
      ['a', ''],
      ['b', 'it was lost'],
      ['c', 'it was lost'],
    ],
  );
});

test('a trace in which nothing moves is given up, one that moves is not', async () => {
  const run = openRun();
  const taken = run.begin(2);
  await run.clock.pass(59_000);
  run.become({ step: 11 });
  await run.clock.pass(59_000);
  assert.equal(run.replies.length, 1);
  await run.clock.pass(10_000);
  await taken;
  const ended = run.replies.at(-1);
  assert.ok(ended?.kind === 'traceEnded');
  assert.ok(ended.workers.every(({ trouble }) => trouble === 'nothing came of it for 60 s'));
  const stopped = run.orders.filter(([, order]) => order.kind === 'trace' && order.steps === 0);
  assert.equal(stopped.length, 3);
});

test('one trace at a time; whoever goes away ends it, and the next one may come', async () => {
  const run = openRun();
  const first = run.begin(5);
  await run.clock.pass(100);
  await assert.rejects(run.begin(5), /a trace of this run is being taken/);
  run.gone.abort();
  await run.clock.pass(1_000);
  await first;
  assert.deepEqual(
    run.orders.slice(3).map(([, order]) => order.kind === 'trace' && order.steps),
    [0, 0, 0],
  );
  const again = run.traces.trace(1, () => true, AbortSignal.timeout(0));
  await run.clock.pass(10_000);
  await again;
});

test('there must be steps to trace', async () => {
  const run = openRun();
  for (const steps of [0, 1.5, 1_001, NaN])
    await assert.rejects(run.begin(steps), /--steps: given .*; allowed: a whole number from 1/);
  run.become({ stage: 'gathering', reason: 'worker a was lost' });
  await assert.rejects(run.begin(1), /no steps now, it is gathering: worker a was lost/);
  run.become({ stage: 'running', reason: '', step: 500 });
  const late = assert.rejects(run.begin(1), /halts after step 500: there are no next steps/);
  await run.clock.pass(100);
  await late;
  run.become({ step: 497 });
  const few = run.begin(9);
  await run.clock.pass(100);
  const [started] = run.replies;
  assert.ok(started?.kind === 'traceStarted');
  assert.deepEqual([started.firstStep, started.steps], [498, 3]);
  run.gone.abort();
  await run.clock.pass(1_000);
  await few;
});

test('what has no room is counted, and what nobody asked for is ignored', async () => {
  const clock = createHandClock();
  const node = createNodeTracing(clock, () => undefined);
  const answers: (TraceAnswer & { kind: 'spans' })[] = [];
  const send = (answer: TraceAnswer): void => {
    if (answer.kind === 'spans') answers.push(answer);
  };
  node.happened({ name: 'peer lost', step: 3, generation: 1 });
  node.onRecorded({ kind: 'recorded', id: 0, spans: [spanOf(1)], isLast: true });
  node.onOrder({ kind: 'trace', id: 4, firstStep: 5, steps: 1 }, send);
  node.onRecorded({ kind: 'recorded', id: 3, spans: [spanOf(1)], isLast: true });
  node.happened({ name: 'peer lost', peer: 'b', step: 3, generation: 1 });
  const many = Array.from({ length: 100_009 }, () => spanOf(5));
  node.onRecorded({ kind: 'recorded', id: 4, spans: many, isLast: true });
  await clock.pass(30_000);
  const last = answers.at(-1);
  assert.deepEqual([last?.isLast, last?.dropped], [true, 10]);
  assert.equal(
    answers.reduce((sum, { spans }) => sum + spans.length, 0),
    100_000,
  );
  assert.ok(answers.slice(0, -1).every(({ isLast }) => !isLast));
  assert.equal(answers[0]?.spans[0]?.peer, 'b');
});

test('the longest message that a worker may send stays below the limit of the wire', async () => {
  const clock = createHandClock();
  const node = createNodeTracing(clock, () => undefined);
  const sizes: number[] = [];
  const { requestSerialize } = loadControlService().service['Session'];
  node.onOrder({ kind: 'trace', id: 4, firstStep: 5, steps: 1 }, (answer) =>
    sizes.push(requestSerialize(toWire(answer)).length),
  );
  const most = Number.MAX_SAFE_INTEGER;
  const worker = 'w'.repeat(63);
  const longest: StepSpan[] = [
    { ...spanOf(most, `wait for ${worker}, ${worker}, ${worker}`), thread: 'exchange' },
    {
      ...{ ...spanOf(most, 'receive'), thread: 'network', peer: worker, phase: 'gather' },
      ...{ microShard: 1e9, chunk: 1e9, bytes: most, firstLeaf: 1e9, endLeaf: 1e9, askedUs: 1e15 },
    },
  ];
  const spans = Array.from({ length: 400 }, (_, i) => longest[i < 200 ? 0 : 1]);
  node.onRecorded({ kind: 'recorded', id: 4, spans, isLast: true });
  await clock.pass(1_000);
  assert.ok(sizes.length >= 2 && sizes.every((size) => size < 64 * 1024), sizes.join());
});
