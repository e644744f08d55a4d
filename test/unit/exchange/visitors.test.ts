// Streams that knock at a worker's exchange: who does not belong to its world waits, and strangers
// that wait keep no peer out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exchange } from '../../../worker/exchange/exchange.js';
import { defaultExchangeLimits } from '../../../worker/exchange/limits.js';
import type { CallHandlers } from '../../../worker/exchange/served-stream.js';

const nothing = (): void => undefined;

/** An exchange that is in no world, with room for two streams, and what becomes of each. */
function createDoor() {
  const refusals: string[] = [];
  const exchange = new Exchange<number[]>({
    clock: { nowMs: () => 0, after: () => nothing, every: () => nothing, soon: nothing },
    limits: { ...defaultExchangeLimits, heldStreams: 2 },
    events: { onJoined: nothing, onGathered: nothing, onReduced: nothing, onPeerLost: nothing },
    openChannel: () => assert.fail('nobody is dialled'),
    createValues: () => assert.fail('there is no world'),
  });
  const knock = (fromWorker: string): void => {
    let handlers: CallHandlers | undefined;
    exchange.accept({
      listen: (given) => (handlers = given),
      write: nothing,
      refuse: (code, reason) => refusals.push(`${fromWorker} ${code}: ${reason}`),
      end: nothing,
    });
    const numbers = { fromRank: 1, fromIncarnation: 1, worldSize: 2, microShards: 5 };
    const lane = { chunkBytes: 8, precision: 'float32', lane: 0, lanes: 1 } as const;
    const hello = { generation: 9, fromWorker, toWorker: 'w', ...numbers, ...lane };
    handlers?.onRequest({ kind: 'hello', hello });
  };
  return { knock, refusals };
}

test('where too many wait, the one that has waited longest makes room, and may dial again', () => {
  const { knock, refusals } = createDoor();
  for (const worker of ['stranger', 'peer']) knock(worker);
  assert.deepEqual(refusals, []);
  for (const worker of ['other', 'peer 2']) knock(worker);
  assert.deepEqual(refusals, [
    'stranger UNAVAILABLE: too many streams are waiting',
    'peer UNAVAILABLE: too many streams are waiting',
  ]);
});
