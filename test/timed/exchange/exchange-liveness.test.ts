// Who is alive, and for whom a step waited: peers that freeze while nobody awaits anything, links
// that are cut, and a thread of our own that was blocked. Real gRPC, real processes.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chunkBytes } from '../../../shared/plan/step-vector.js';
import type { PeerLost } from '../../../worker/exchange/exchange.js';
import { defaultExchangeLimits } from '../../../worker/exchange/limits.js';
import { until } from '../../support/until.js';
import type { ChildTask } from './exchange-child.js';
import { withChildren, type Child } from './exchange-children.js';
import {
  assertSameBits,
  contribute,
  createVectors,
  localWorlds,
  reference,
  resultOf,
  withWorkers,
  worldOf,
  type TestWorker,
} from './exchange-worlds.js';

const impatient = { aliveMs: 100, silenceMs: 600 };

/** A world of one local worker and children that have joined and are in no step. */
async function withIdleChildren(
  count: number,
  limits: object,
  body: (worker: TestWorker, children: readonly Child[]) => Promise<void>,
): Promise<void> {
  await withChildren(count, async (children) => {
    await withWorkers(1, limits, async ([worker]) => {
      const world = worldOf(1, [worker.address, ...children.map(({ address }) => address)]);
      const size = { microShards: 4, floats: 1_000 };
      children.forEach((child, i) => {
        const task: ChildTask = { world, rank: i + 1, ...size, steps: 0 };
        child.process.send(task);
      });
      await worker.exchange.join({ world, rank: 0, ...createVectors(0, count + 1, 4, 1_000) });
      for (const child of children) await child.next('joined');
      await body(worker, children);
    });
  });
}

test('a peer that freezes while nobody awaits anything is found within two seconds', async () => {
  await withIdleChildren(2, {}, async (worker, [frozen]) => {
    const started = performance.now();
    frozen.process.kill('SIGSTOP');
    await until(() => worker.lost.length > 0, 'the loss is reported', 5_000);
    const elapsedMs = performance.now() - started;
    const reason = 'sent nothing for 1.5 s';
    assert.deepEqual(worker.lost, [{ generation: 1, rank: 1, worker: 'w1', reason }]);
    assert.ok(elapsedMs < 2_000, `${elapsedMs} ms`);
    // Not before it is due, or a short pause would end a world.
    assert.ok(elapsedMs > defaultExchangeLimits.silenceMs - 500, `${elapsedMs} ms`);
  });
});

test('a peer killed between two steps is reported at once', async () => {
  await withIdleChildren(2, {}, async (worker, [, killed]) => {
    const started = performance.now();
    killed.process.kill('SIGKILL');
    await until(() => worker.lost.length > 0, 'the loss is reported', 5_000);
    assert.ok(performance.now() - started < 1_000, `${performance.now() - started} ms`);
    const [{ generation, rank, reason }] = worker.lost as [PeerLost];
    assert.deepEqual({ generation, rank }, { generation: 1, rank: 2 });
    assert.match(reason, /ended its stream/);
  });
});

test('peers that do nothing for longer than the limit of silence are not lost', async () => {
  await withWorkers(3, impatient, async (workers) => {
    const worlds = localWorlds(workers, 4, 1_000);
    await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
    // Time itself is what is tested: three limits of silence.
    await new Promise((resolve) => setTimeout(resolve, 3 * impatient.silenceMs));
    for (const { lost } of workers) assert.deepEqual(lost, []);
  });
});

test('a thread that was blocked itself blames no one', async () => {
  await withIdleChildren(1, impatient, async (worker) => {
    const cell = new Int32Array(new SharedArrayBuffer(4));
    for (let i = 0; i < 3; i++) {
      Atomics.wait(cell, 0, 0, 2 * impatient.silenceMs);
      await new Promise((resolve) => setTimeout(resolve, impatient.aliveMs));
    }
    assert.deepEqual(worker.lost, []);
  });
});

test('a step tells for whom it waited, and for how long', async () => {
  const lateMs = 400;
  await withWorkers(3, {}, async (workers) => {
    const floats = (3 * chunkBytes) / 4;
    const worlds = localWorlds(workers, 6, floats);
    await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
    for (const [step, late] of [2, 0].entries()) {
      worlds.forEach((world) => contribute(world, step, floats));
      const reduced = await Promise.all(
        workers.map(async ({ exchange }, rank) => {
          if (rank === late) await new Promise((resolve) => setTimeout(resolve, lateMs));
          return exchange.allReduce(step, floats);
        }),
      );
      reduced.forEach(({ waitedFor, waitedMs }, rank) => {
        if (rank === late) return assert.ok(waitedMs < lateMs / 2, `late: ${waitedMs} ms`);
        assert.equal(waitedFor, late);
        assert.ok(waitedMs > lateMs / 2 && waitedMs < 10 * lateMs, `${waitedMs} ms`);
      });
      const expected = reference(step, 6, floats);
      for (const world of worlds)
        assertSameBits(resultOf(world, step, floats), expected, `${step}`);
    }
  });
});

test('a step tells how many bytes it has exchanged', async () => {
  await withWorkers(2, {}, async (workers) => {
    const floats = 10;
    const worlds = localWorlds(workers, 2, floats);
    await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
    const sent = [0, 0];
    for (const step of [0, 1, 2]) {
      worlds.forEach((world) => contribute(world, step, floats));
      const costs = await Promise.all(
        workers.map(({ exchange }) => exchange.allReduce(step, floats)),
      );
      costs.forEach(({ sentBytes }, rank) => (sent[rank] += sentBytes));
      // One chunk: its owner gets the other's sum, and the other what came of both.
      for (const { receivedBytes } of costs) assert.equal(receivedBytes, 4 * floats);
    }
    // What the other takes after the last step is not counted any more.
    for (const bytes of sent) assert.ok(bytes === 3 * 4 * floats || bytes === 2 * 4 * floats);
  });
});

test('a world of one waits for nobody', async () => {
  await withWorkers(1, {}, async (workers) => {
    const [world] = localWorlds(workers, 2, 10);
    await workers[0].exchange.join(world);
    contribute(world, 0, 10);
    const reduced = await workers[0].exchange.allReduce(0, 10);
    const waited = { waitedFor: undefined, waitedMs: 0 };
    const nothing = { ...waited, sentBytes: 0, receivedBytes: 0, link: undefined };
    assert.deepEqual(reduced, nothing);
  });
});

/** Two local workers that have joined. */
async function withPair(body: (a: TestWorker, b: TestWorker) => Promise<void>): Promise<void> {
  await withWorkers(2, impatient, async (workers) => {
    const worlds = localWorlds(workers, 2, 10);
    await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
    await body(workers[0], workers[1]);
  });
}

test('a muted link looks half-open from both ends: silence, and no end of a stream', async () => {
  await withPair(async (a, b) => {
    a.exchange.mute('w1', 60_000);
    await until(() => a.lost.length + b.lost.length === 2, 'both miss each other');
    for (const { lost } of [a, b]) assert.equal(lost[0].reason, 'sent nothing for 0.6 s');
  });
});

test('a link that was muted for a moment is broken afterwards', async () => {
  await withPair(async (a, b) => {
    a.exchange.mute('w1', 50);
    await until(() => a.lost.length + b.lost.length === 2, 'both lose each other');
    assert.equal(a.lost[0].reason, 'lost its link to us');
    assert.match(b.lost[0].reason, /^ended its stream: /);
  });
});

for (const muted of [0, 1]) {
  test(`a world joined while rank ${muted} is muted comes about when the link is back`, async () => {
    await withWorkers(2, {}, async (workers) => {
      const worlds = localWorlds(workers, 2, 10);
      const startedMs = performance.now();
      workers[1 - muted].exchange.mute(`w${muted}`, 700);
      await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
      assert.ok(performance.now() - startedMs > 600, 'nothing passed before');
      await Promise.all(
        workers.map(({ exchange }, rank) => {
          contribute(worlds[rank], 0, 10);
          return exchange.allReduce(0, 10);
        }),
      );
      for (const { lost } of workers) assert.deepEqual(lost, []);
    });
  });
}
