// Worlds that follow each other in the same processes: what is pending in the old one, what comes
// late from it, and that nothing is left of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { until } from '../../support/until.js';
import {
  PeerLostError,
  assertSameBits,
  contribute,
  localWorlds,
  reference,
  resultOf,
  withWorkers,
  type TestWorker,
} from './exchange-worlds.js';

const floats = 1_000;

/** All join the world of a generation and take one step in it. */
async function joinAndStep(workers: readonly TestWorker[], generation: number): Promise<void> {
  const worlds = localWorlds(workers, 4, floats, generation);
  await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
  await Promise.all(
    workers.map(({ exchange }, rank) => {
      contribute(worlds[rank], generation, floats);
      return exchange.allReduce(generation, floats);
    }),
  );
  const expected = reference(generation, 4, floats);
  for (const world of worlds)
    assertSameBits(resultOf(world, generation, floats), expected, `generation ${generation}`);
}

/** Begins a step that can't end: the others do not take part. */
function beginInVain({ exchange }: TestWorker, step: number): Promise<unknown> {
  return exchange.allReduce(step, floats).then(
    () => assert.fail('a step without its peers'),
    (error: unknown) => error,
  );
}

test('a step that is pending when the next world is joined rejects, and blames no one', async () => {
  await withWorkers(3, {}, async (workers) => {
    await joinAndStep(workers, 1);
    const pending = beginInVain(workers[0], 2);
    await joinAndStep(workers, 2);
    const error = await pending;
    assert.ok(error instanceof Error && !(error instanceof PeerLostError));
    assert.equal(error.message, 'left for generation 2');
    assert.deepEqual(workers[0].lost, []);
    // Peers that left later saw the streams of the first end; they say of which world.
    for (const { lost } of workers) assert.ok(lost.every(({ generation }) => generation === 1));
  });
});

test('a world that is joined, and left before anybody answers, hurts no later one', async () => {
  await withWorkers(2, {}, async (workers) => {
    const [early] = localWorlds(workers, 4, floats, 1);
    const joining = workers[0].exchange.join(early).catch((error: unknown) => error);
    await joinAndStep(workers, 2);
    assert.match(String(await joining), /^Error: left for generation 2$/);
    for (const { lost } of workers) assert.deepEqual(lost, []);
  });
});

test('a peer that is one world behind is refused, and does not disturb the present one', async () => {
  await withWorkers(3, {}, async (workers) => {
    const [a, b, straggler] = workers as [TestWorker, TestWorker, TestWorker];
    const stale = localWorlds([a, straggler], 4, floats, 1);
    await joinAndStep([a, b], 2);
    await assert.rejects(straggler.exchange.join(stale[1]), PeerLostError);
    assert.match(straggler.lost[0].reason, /generation 1 is over; this worker is in 2/);
    for (const { lost } of [a, b]) assert.deepEqual(lost, []);
    await joinAndStep([a, b, straggler], 3);
  });
});

/** Sockets, timers and the like that are alive in this process, by kind. */
function resources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

test('thirty worlds one after the other leave nothing behind', async () => {
  await withWorkers(3, {}, async (workers) => {
    let before: Record<string, number> = {};
    for (let generation = 1; generation <= 30; generation++) {
      await joinAndStep(workers, generation);
      if (generation === 5) before = resources();
      // In every other world somebody is left waiting.
      if (generation % 2 === 0) void beginInVain(workers[generation % 3], generation + 1);
    }
    assert.ok((before['TCPSocketWrap'] ?? 0) >= 12, JSON.stringify(before));
    await until(
      () => {
        const now = resources();
        return ['TCPSocketWrap', 'Timeout'].every(
          (kind) => (now[kind] ?? 0) <= (before[kind] ?? 0),
        );
      },
      `as many sockets and timers as ${JSON.stringify(before)}`,
    );
  });
});
