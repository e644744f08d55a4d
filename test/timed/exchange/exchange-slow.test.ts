// Links of 1 Mbit/s, on which a frame is two seconds on its way: what is slow is not dead, and what
// is dead is found. Real gRPC through a proxy that holds bytes back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chunkBytes } from '../../../shared/plan/step-vector.js';
import { defaultExchangeLimits } from '../../../worker/exchange/limits.js';
import { defaultTransferLimits } from '../../../worker/transfer/state-frame.js';
import { fourMegabits, startSlowLink, type SlowLink } from '../../support/slow-link.js';
import { until } from '../../support/until.js';
import { withChildren } from './exchange-children.js';
import { TestReceiver, withDonor } from './exchange-transfers.js';
import {
  assertSameBits,
  contribute,
  createVectors,
  reference,
  resultOf,
  withWorkers,
  worldOf,
} from './exchange-worlds.js';

const chunkFloats = chunkBytes / 4;
/** Bytes a second. */
const megabit = fourMegabits / 4;

/** Runs `body` with a slow link to each address, and closes them whatever happens. */
async function withSlowLinks(
  addresses: readonly string[],
  bytesPerS: number,
  body: (addresses: readonly string[]) => Promise<void>,
): Promise<void> {
  const links: SlowLink[] = [];
  try {
    for (const address of addresses) links.push(await startSlowLink(address, bytesPerS));
    await body(links.map(({ address }) => address));
  } finally {
    await Promise.all(links.map((link) => link.close()));
  }
}

test('a frame that takes longer than the limit of silence is slow, and its peer alive', async () => {
  const frameMs = (1000 * 4 * chunkFloats) / megabit;
  assert.ok(frameMs > defaultExchangeLimits.silenceMs, `${frameMs} ms`);
  await withWorkers(2, {}, async (workers) => {
    const addresses = workers.map(({ address }) => address);
    await withSlowLinks(addresses, megabit, async (slow) => {
      const world = worldOf(1, slow);
      const worlds = workers.map((_, rank) => {
        return { world, rank, ...createVectors(rank, 2, 4, chunkFloats) };
      });
      await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
      for (const one of worlds) contribute(one, 0, chunkFloats);
      const startedMs = performance.now();
      const costs = await Promise.all(
        workers.map(({ exchange }) => exchange.allReduce(0, chunkFloats)),
      );
      // One frame to the chunk's owner, and one back.
      const elapsedMs = performance.now() - startedMs;
      assert.ok(elapsedMs > 1.8 * frameMs, `${elapsedMs} ms`);
      for (const { lost } of workers) assert.deepEqual(lost, []);
      costs.forEach(({ link }, rank) => {
        assert.ok(link !== undefined && link.rank === 1 - rank && link.ms > frameMs / 2);
        const rate = (1000 * link.bytes) / link.ms / megabit;
        assert.ok(rate > 0.7 && rate < 1.4, `${rate} of 1 Mbit/s`);
      });
      const expected = reference(0, 4, chunkFloats);
      for (const one of worlds) assertSameBits(resultOf(one, 0, chunkFloats), expected, 'result');
    });
  });
});

test('a peer that freezes within a frame is found when nothing of it is left on the way', async () => {
  await withChildren(1, async ([child]) => {
    await withWorkers(1, {}, async ([worker]) => {
      await withSlowLinks([worker.address, child.address], megabit, async (slow) => {
        const world = worldOf(1, slow);
        const task = { microShards: 2, floats: chunkFloats };
        child.process.send({ world, rank: 1, ...task, steps: 1 });
        const own = { world, rank: 0, ...createVectors(0, 2, 2, chunkFloats) };
        await worker.exchange.join(own);
        await child.next('joined');
        contribute(own, 0, chunkFloats);
        const reduced = worker.exchange.allReduce(0, chunkFloats);
        reduced.catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 300));
        child.process.kill('SIGSTOP');
        const startedMs = performance.now();
        await until(() => worker.lost.length > 0, 'the loss is reported', 10_000);
        const elapsedMs = performance.now() - startedMs;
        assert.equal(worker.lost[0].reason, 'sent nothing for 1.5 s');
        // The system had taken the whole frame, and goes on to send it.
        const frameMs = (1000 * 4 * chunkFloats) / megabit;
        assert.ok(elapsedMs < frameMs + 2_000, `${elapsedMs} ms`);
      });
    });
  });
});

test('a state whose chunks take longer than the limit of silence arrives', async () => {
  const bytes = 1024 ** 2;
  await withDonor(bytes, { aliveMs: 100, silenceMs: 600 }, async (donor) => {
    await withSlowLinks([donor.address], 2 * fourMegabits, async ([slow]) => {
      const receiver = new TestReceiver({ ...defaultTransferLimits, aliveMs: 100, silenceMs: 600 });
      receiver.fetch(slow);
      await receiver.over();
      assert.equal(receiver.failed, undefined);
      assert.ok(receiver.isWhole);
    });
  });
});
