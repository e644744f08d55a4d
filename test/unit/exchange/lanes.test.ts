// Several lanes as one exchange: when a world is joined, a step there and a peer lost, by events of
// the lanes in any order.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type {
  ExchangeCost,
  ExchangeEvents,
  ExchangeWorld,
  WorkerExchange,
} from '../../../worker/exchange/exchange.js';
import { joinLanes, type Lane } from '../../../worker/exchange/lanes.js';

const shape = { exact: 1, gradients: 10, factors: 3 };

/** What was called on which lane, and what the lanes together reported. */
interface Rig {
  readonly exchange: WorkerExchange;
  readonly lanes: readonly ExchangeEvents[];
  readonly calls: string[];
  readonly events: string[];
  /** What `clock.soon` was given. */
  flush(): void;
}

function rigOf(count: number): Rig {
  const lanes: ExchangeEvents[] = [];
  const calls: string[] = [];
  const events: string[] = [];
  const later: (() => void)[] = [];
  const open =
    (lane: number) =>
    (reported: ExchangeEvents): Lane => {
      lanes.push(reported);
      const note = (text: string): void => void calls.push(`${lane} ${text}`);
      return {
        join: ({ world, lane: number, lanes: of }) =>
          note(`join ${number}/${of} ${world.members.map(({ address }) => address).join(' ')}`),
        leave: (onLeft) => {
          note('leave');
          later.push(onLeft);
        },
        begin: (step) => note(`begin ${step}`),
        contribute: (step, index) => note(`contribute ${step} ${index}`),
        publish: (step, leaf) => note(`publish ${step} ${leaf}`),
        mute: (worker, ms) => note(`mute ${worker} ${ms}`),
        close: (onClosed) => {
          note('close');
          later.push(onClosed);
        },
      };
    };
  const exchange = joinLanes(
    Array.from({ length: count }, (_, lane) => open(lane)),
    {
      onJoined: (generation) => void events.push(`joined ${generation}`),
      onGathered: (generation, step) => void events.push(`gathered ${generation} ${step}`),
      onReduced: (generation, step, cost) =>
        void events.push(`reduced ${generation} ${step} ${JSON.stringify(cost)}`),
      onPeerLost: ({ generation, rank, reason }) =>
        void events.push(`lost ${generation} ${rank}: ${reason}`),
    },
    { soon: (run) => void later.push(run) },
  );
  return {
    ...{ exchange, lanes, calls, events },
    flush: () => later.splice(0).forEach((run) => run()),
  };
}

/** A world whose members have so many lanes. */
function worldOf(generation: number, counts: readonly number[]): ExchangeWorld {
  const members = counts.map((count, rank) => {
    const lanes = Array.from({ length: count - 1 }, (_, i) => `h${rank}:${i + 1}`);
    return { rank, worker: `w${rank}`, incarnation: 1, address: `h${rank}:0`, lanes };
  });
  // Where the values lie is the business of the lanes.
  return { world: { generation, members }, rank: 0, lane: 0, lanes: 1 } as unknown as ExchangeWorld;
}

const cost = (change: Partial<ExchangeCost>): ExchangeCost => ({
  ...{ waitedFor: undefined, waitedMs: 0, sentBytes: 0, receivedBytes: 0, link: undefined },
  ...change,
});
const lost = (generation: number, rank: number, reason: string) => {
  return { generation, rank, worker: `w${rank}`, reason };
};

test('a world uses as many lanes as the member with the fewest has', () => {
  const { exchange, lanes, calls, events, flush } = rigOf(3);
  exchange.join(worldOf(1, [3, 2, 5]));
  flush();
  assert.deepEqual(calls, ['2 leave', '0 join 0/2 h0:0 h1:0 h2:0', '1 join 1/2 h0:1 h1:1 h2:1']);
  lanes[1].onJoined(1);
  assert.deepEqual(events, []);
  lanes[0].onJoined(1);
  assert.deepEqual(events, ['joined 1']);
  calls.splice(0);
  exchange.begin(4, shape);
  exchange.contribute(4, 1);
  exchange.publish(4, 2);
  assert.deepEqual(calls, [
    ...['0 begin 4', '1 begin 4', '0 contribute 4 1', '1 contribute 4 1'],
    ...['0 publish 4 2', '1 publish 4 2'],
  ]);
});

test('a world is joined once the lanes that it does not use have left the one before', () => {
  const { exchange, lanes, events, flush } = rigOf(3);
  exchange.join(worldOf(1, [3, 3]));
  exchange.join(worldOf(2, [3, 2]));
  exchange.join(worldOf(3, [3, 1]));
  lanes[0].onJoined(3);
  assert.deepEqual(events, []);
  flush();
  assert.deepEqual(events, ['joined 3'], 'also an answer of the world between');
});

test('a step is there when it is there on all lanes: bytes in all, and the longest wait', () => {
  const { exchange, lanes, events } = rigOf(2);
  exchange.join(worldOf(1, [2, 2]));
  for (const step of [0, 1]) {
    events.splice(0);
    exchange.begin(step, shape);
    lanes[1].onGathered(1, step);
    assert.deepEqual(events, []);
    lanes[0].onGathered(1, step);
    assert.deepEqual(events.splice(0), [`gathered 1 ${step}`]);
    const link = { rank: 1, bytes: 100, ms: 500 };
    lanes[0].onReduced(1, step, cost({ waitedFor: 1, waitedMs: 3, sentBytes: 5, link }));
    assert.deepEqual(events, []);
    const other = { waitedFor: 2, waitedMs: 9, sentBytes: 7, receivedBytes: 2 };
    lanes[1].onReduced(1, step, cost({ ...other, link: { rank: 1, bytes: 50, ms: 250 } }));
    const whole = { waitedFor: 2, waitedMs: 9, sentBytes: 12, receivedBytes: 2 };
    const both = { rank: 1, bytes: 150, ms: 500 };
    assert.deepEqual(events, [`reduced 1 ${step} ${JSON.stringify({ ...whole, link: both })}`]);
  }
});

test('a peer is lost once, at once where a lane needs it', () => {
  const { exchange, lanes, events } = rigOf(2);
  exchange.join(worldOf(1, [2, 2, 2]));
  exchange.begin(0, shape);
  lanes[0].onPeerLost(lost(1, 2, 'ended its stream'));
  lanes[1].onPeerLost(lost(1, 2, 'sent nothing'));
  lanes[1].onPeerLost(lost(1, 1, 'sent nothing'));
  assert.deepEqual(events, ['lost 1 2: ended its stream', 'lost 1 1: sent nothing']);
});

test('a loss on a lane that is done waits for the others: they may need the peer no more', () => {
  const { exchange, lanes, events, flush } = rigOf(2);
  exchange.join(worldOf(1, [2, 2]));
  exchange.begin(0, shape);
  lanes[0].onReduced(1, 0, cost({}));
  lanes[0].onPeerLost(lost(1, 1, 'has left'));
  assert.deepEqual(events, []);
  lanes[1].onReduced(1, 0, cost({}));
  assert.equal(events.length, 1, 'first the step');
  flush();
  assert.equal(events[1], 'lost 1 1: has left');

  exchange.join(worldOf(2, [2, 2]));
  exchange.begin(0, shape);
  events.splice(0);
  lanes[0].onReduced(2, 0, cost({}));
  lanes[0].onPeerLost(lost(2, 1, 'has left'));
  lanes[1].onPeerLost(lost(2, 1, 'is needed'));
  assert.deepEqual(events, ['lost 2 1: is needed']);
});

test('what lanes still say of an earlier world is not heard', () => {
  const { exchange, lanes, events } = rigOf(2);
  exchange.join(worldOf(1, [2, 2]));
  exchange.begin(0, shape);
  lanes[0].onReduced(1, 0, cost({}));
  exchange.join(worldOf(2, [2, 2]));
  lanes[1].onReduced(1, 0, cost({}));
  lanes[0].onPeerLost(lost(1, 1, 'is gone'));
  lanes[0].onJoined(1);
  lanes[0].onJoined(2);
  assert.deepEqual(events, []);
  lanes[1].onJoined(2);
  assert.deepEqual(events, ['joined 2']);
});

test('faults and the end go to all lanes, also to those in no world', () => {
  const { exchange, calls, flush } = rigOf(2);
  exchange.join(worldOf(1, [1, 1]));
  calls.splice(0);
  exchange.mute('w1', 50);
  let isClosed = false;
  exchange.close(() => (isClosed = true));
  assert.deepEqual(calls, ['0 mute w1 50', '1 mute w1 50', '0 close', '1 close']);
  assert.ok(!isClosed);
  flush();
  assert.ok(isClosed);
});
