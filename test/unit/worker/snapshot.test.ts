// Snapshots: copied piece by piece while the next step is computed, and yet of one step.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { setImmediate } from 'node:timers/promises';
import { describe, it, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { stateDigest } from '../../../shared/checkpoint/digests.js';
import { partsOf, partsOfShare } from '../../../shared/checkpoint/parts.js';
import {
  countersOf,
  createState,
  floatsIn,
  vectorsInOrder,
} from '../../../shared/checkpoint/state.js';
import { createHostEngineState } from '../../../worker/engine/host-engine-state.js';
import { createSaver } from '../../../worker/training/checkpoints.js';
import { createHoldableState } from '../../../worker/training/held-state.js';
import type { ToNetwork } from '../../../worker/network/ports.js';
import { planSnapshot, takeSnapshot } from '../../../worker/training/snapshot.js';
import { testFolder } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';
import { encodePart, networks, stateAt } from '../../support/two-networks.js';

const roomOf = (room: readonly number[]): ArrayBuffer[] =>
  room.map((bytes) => new ArrayBuffer(bytes));

describe('a snapshot', () => {
  it('has the share whole, however many pieces it is copied in', async () => {
    const quads = fc.integer({ min: 1, max: 8 });
    const shares = fc.integer({ min: 1, max: 7 });
    await fc.assert(
      fc.asyncProperty(quads, shares, fc.nat(6), async (piece, shares, of) => {
        const share = of % shares;
        const state = stateAt(5);
        const vectors = vectorsInOrder(networks, state);
        const read = (start: number, end: number) => Promise.resolve(floatsIn(vectors, start, end));
        const plan = planSnapshot(networks, share, shares);
        const counters = countersOf(state);
        const taken = await takeSnapshot(plan, counters, read, roomOf(plan.room), 4 * piece);
        assert.equal(taken.step, 5);
        assert.equal(taken.stateDigest, stateDigest(networks, state));
        const parts = partsOfShare(partsOf(networks), share, shares).map((part) => {
          const network = networks.find(({ name }) => name === part.network)!;
          return encodePart(part, network, state.networks[part.network]);
        });
        const plain = ({ name, body }: (typeof parts)[number]) => [name, Buffer.from(body)];
        assert.deepEqual(taken.parts.map(plain), parts.map(plain));
        if (share > 0) return assert.equal(taken.whole, undefined);
        const { report, parameters } = taken.whole!;
        const names = partsOf(networks).map(({ name }) => name);
        assert.deepEqual(report, { kind: 'snapshot', parts: names, ...counters });
        const expected = networks.map(({ name }) => state.networks[name].parameters);
        assert.deepEqual(parameters, expected);
      }),
    );
  });

  it('copies no parameters twice into the share of a worker that is alone', () => {
    const plan = planSnapshot(networks, 0, 1);
    assert.deepEqual(plan.extra, []);
    assert.equal(plan.room.length, partsOf(networks).length);
  });
});

describe('a state that is held', () => {
  it('changes only when it is let go, so that a snapshot is of one step', async () => {
    const state = createHoldableState(await createHostEngineState(networks, () => assert.fail()));
    const [before, after] = [stateAt(1), stateAt(2)];
    await state.write(before.networks);
    const plan = planSnapshot(networks, 0, 1);
    const read = (start: number, end: number) => state.readRange(start, end);
    const copied = state.hold(() =>
      takeSnapshot(plan, countersOf(before), read, roomOf(plan.room), 4),
    );
    let isChanged = false;
    const changed = state.write(after.networks).then(() => (isChanged = true));
    await setImmediate();
    assert.equal(isChanged, false);
    const { stateDigest: found } = await copied;
    assert.equal(found, stateDigest(networks, before));
    await changed;
    const vectors = vectorsInOrder(networks, { networks: await state.read() });
    assert.deepEqual(vectors, vectorsInOrder(networks, after));
  });

  it('changes at once when nobody holds it, and after a reader that fails', async () => {
    const state = createHoldableState(await createHostEngineState(networks, () => assert.fail()));
    await state.write(stateAt(1).networks);
    await assert.rejects(
      state.hold(() => Promise.reject(new Error('spoilt'))),
      /spoilt/,
    );
    await state.write(stateAt(2).networks);
    const { networks: expected } = Object.assign(createState(networks), stateAt(2));
    const vectors = vectorsInOrder(networks, { networks: await state.read() });
    assert.deepEqual(vectors, vectorsInOrder(networks, { networks: expected }));
  });
});

test('room that was made for a snapshot is given back when none follows, and made anew', async () => {
  const state = createHoldableState(await createHostEngineState(networks, () => assert.fail()));
  const runUrl = pathToFileURL(testFolder()).href;
  const sent: ToNetwork[] = [];
  const saver = createSaver(networks, state, { runUrl, storeOptions: {} }, (message) =>
    sent.push(message),
  );
  const started: Worker[] = [];
  process.on('worker', (thread) => started.push(thread));
  saver.prepare(0, 1);
  saver.prepare(0, 1);
  await until(() => started.length === 1, 'the thread', 5_000);
  const ended = once(started[0], 'exit');
  saver.giveBack();
  await ended;
  await saver.save(countersOf(stateAt(1)), 0, 1);
  // What is under way goes on.
  saver.giveBack();
  await saver.idle();
  assert.deepEqual(
    sent.map((each) => each.kind === 'tell' && each.message.kind),
    [...partsOf(networks).map(() => 'partStored'), 'snapshot'],
  );
  assert.equal(started.length, 2);
  await saver.close();
});
