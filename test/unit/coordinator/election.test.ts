// Stories of one contender for a lease: what it asks for, when it holds the lease, and when not.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  defaultElectionTiming,
  elect,
  holdsLease,
  initialElection,
  nextWakeMs,
  type ElectionEffect,
  type ElectionEvent,
  type SeenLease,
} from '../../../coordinator/core/election.js';

const lease = (change: Partial<SeenLease> = {}): SeenLease => {
  return { version: '7', holder: 'b', transitions: 3, stamp: 't1', leaseMs: 15_000, ...change };
};

/** The lease as it is found while a holds it. */
const ours = (version: string, transitions = 0) => lease({ holder: 'a', version, transitions });

/** A contender named a, with a clock; it answers in words. */
function createContender() {
  let nowMs = 1_000;
  let writes = 100;
  const state = initialElection('a', nowMs, defaultElectionTiming);
  const happen = (event: ElectionEvent): string[] =>
    elect(state, event, nowMs).map((effect) => describe(effect));
  /** The write that was asked for was done. */
  const written = (change: Partial<SeenLease> = {}): string[] => {
    writes += 1;
    const done = { version: `${writes}`, stamp: `t${writes}`, holder: 'a' };
    return happen({ kind: 'written', lease: lease({ ...done, ...change }) });
  };
  return {
    ...{ state, happen, written },
    found: (seen: SeenLease | undefined) => happen({ kind: 'found', lease: seen }),
    refused: () => happen({ kind: 'refused' }),
    failed: (reason: string, said: { status?: number; retryAfterMs?: number } = {}) =>
      happen({ kind: 'failed', reason, ...said }),
    /** Lets time pass, with a tick at the end of it. */
    after: (ms: number) => {
      nowMs += ms;
      return happen({ kind: 'tick' });
    },
    tick: () => happen({ kind: 'tick' }),
    isHolder: (laterMs = 0) => holdsLease(state, nowMs + laterMs),
    wakesIn: () => (nextWakeMs(state) ?? Infinity) - nowMs,
    pass: (ms: number) => void (nowMs += ms),
  };
}

function describe(effect: ElectionEffect): string {
  switch (effect.kind) {
    case 'read':
    case 'released':
      return effect.kind;
    case 'write': {
      const { base, holder, transitions } = effect;
      const what = base === undefined ? 'create' : `replace ${base.version}`;
      return `${what}: ${holder === '' ? 'nobody' : holder}, ${transitions}`;
    }
    case 'acquired':
      return `acquired ${effect.transitions}`;
    case 'lost':
      return `lost: ${effect.reason}`;
    case 'standingBy':
      return `stands by for ${effect.holder}`;
    case 'trouble':
      return `trouble: ${effect.reason}`;
  }
}

/** A contender that has asked for the lease and waits for the answer. */
function createLooking() {
  const contender = createContender();
  contender.tick();
  return contender;
}

function createHolder() {
  const contender = createLooking();
  contender.found(undefined);
  contender.written({ transitions: 0 });
  return contender;
}

test('a lease that is not there is created, and held from when that was sent', () => {
  const a = createContender();
  assert.deepEqual(a.tick(), ['read']);
  assert.deepEqual(a.found(undefined), ['create: a, 0']);
  a.pass(1_400);
  assert.ok(!a.isHolder());
  assert.deepEqual(a.written({ transitions: 0 }), ['acquired 0']);
  assert.ok(a.isHolder(8_599));
  assert.ok(!a.isHolder(8_600));
});

test('a lease that another holds is taken once it has not changed for 15 s', () => {
  const a = createLooking();
  assert.deepEqual(a.found(lease()), ['stands by for b']);
  assert.equal(a.wakesIn(), 2_000);
  for (let s = 2; s < 15; s += 2) {
    assert.deepEqual(a.after(2_000), ['read']);
    assert.deepEqual(a.found(lease()), [], `after ${s} s`);
  }
  assert.deepEqual(a.after(1_000), []);
  assert.deepEqual(a.after(1_000), ['read']);
  assert.deepEqual(a.found(lease()), ['replace 7: a, 4']);
  assert.deepEqual(a.written({ transitions: 4 }), ['acquired 4']);
});

test('each renewal that is seen starts the 15 s anew; another annotation does not', () => {
  const a = createLooking();
  a.found(lease());
  a.after(14_000);
  assert.deepEqual(a.found(lease({ version: '8', stamp: 't2' })), []);
  a.after(14_000);
  assert.deepEqual(a.found(lease({ version: '9', stamp: 't2' })), []);
  a.after(2_000);
  assert.deepEqual(a.found(lease({ version: '9', stamp: 't2' })), ['replace 9: a, 4']);
});

test('a holder that claims the lease for longer is believed', () => {
  const a = createLooking();
  a.found(lease({ leaseMs: 60_000 }));
  a.after(59_000);
  assert.deepEqual(a.found(lease({ leaseMs: 60_000 })), []);
  a.after(2_000);
  assert.deepEqual(a.found(lease({ leaseMs: 60_000 })), ['replace 7: a, 4']);
});

test('a lease that was given up is taken at once, and changes hands by that', () => {
  const a = createLooking();
  assert.deepEqual(a.found(lease({ holder: '' })), ['replace 7: a, 4']);
});

test('who comes second to write looks again', () => {
  const a = createLooking();
  a.found(lease({ holder: '' }));
  assert.deepEqual(a.refused(), ['read']);
  assert.deepEqual(a.found(lease({ holder: 'c', transitions: 4 })), ['stands by for c']);
});

test('a lease that was deleted is waited for like one that was not renewed', () => {
  const a = createLooking();
  a.found(lease());
  a.after(10_000);
  assert.deepEqual(a.found(undefined), []);
  a.after(14_000);
  assert.deepEqual(a.found(undefined), []);
  a.after(2_000);
  assert.deepEqual(a.found(undefined), ['create: a, 0']);
});

test('a holder renews every 2 s by the version it wrote, without looking', () => {
  const a = createHolder();
  assert.equal(a.wakesIn(), 2_000);
  assert.deepEqual(a.after(2_000), ['replace 101: a, 0']);
  a.pass(500);
  assert.deepEqual(a.written({ transitions: 0 }), []);
  assert.equal(a.wakesIn(), 1_500);
  assert.ok(a.isHolder(9_499) && !a.isHolder(9_500));
});

test('a holder whose lease was annotated by another renews what it finds', () => {
  const a = createHolder();
  a.after(2_000);
  assert.deepEqual(a.refused(), ['read']);
  assert.deepEqual(a.found(ours('300')), ['replace 300: a, 0']);
});

test('a holder has lost when it can not renew for 10 s, and says why', () => {
  const a = createHolder();
  a.after(2_000);
  assert.deepEqual(a.failed('HTTP 500: no'), ['trouble: HTTP 500: no']);
  a.after(2_000);
  assert.deepEqual(a.failed('HTTP 500: no'), [], 'reported once');
  a.after(5_999);
  assert.ok(a.isHolder());
  assert.deepEqual(a.after(1), ['lost: it could not be renewed for 10 s: HTTP 500: no']);
  assert.ok(!a.isHolder());
  assert.equal(a.wakesIn(), Infinity);
  assert.deepEqual(a.written(), [], 'an answer that comes now is too late');
});

test('trouble is reported once for each thing that the server says, and when it is over', () => {
  const a = createHolder();
  const answers = [
    a.failed('connection refused'),
    a.failed('no answer'),
    a.failed('HTTP 403: no', { status: 403 }),
    a.failed('HTTP 403: never', { status: 403 }),
    a.failed('HTTP 500: oh', { status: 500 }),
    a.written(),
    a.failed('no answer'),
  ];
  assert.deepEqual(answers.flat(), [
    'trouble: connection refused',
    'trouble: HTTP 403: no',
    'trouble: HTTP 500: oh',
    'trouble: ',
    'trouble: no answer',
  ]);
});

test('the end of its time needs no tick', () => {
  const a = createHolder();
  a.pass(10_000);
  assert.ok(!a.isHolder());
  assert.match(a.written()[0] ?? '', /^lost/);
});

test('a holder tries once more before its time is over, whatever the server asks for', () => {
  const a = createHolder();
  a.after(2_000);
  a.failed('HTTP 429: later', { retryAfterMs: 60_000 });
  assert.equal(a.wakesIn(), 6_500);
  assert.deepEqual(a.after(6_500), ['read']);
  assert.equal(a.wakesIn(), 1_500, 'for the end of its time');
  assert.deepEqual(a.found(ours('101')), ['replace 101: a, 0']);
  assert.deepEqual(a.written({ transitions: 0 }), ['trouble: '], 'all is well again');
});

test('who waits for the lease comes back when the server asks for it, but not too late', () => {
  for (const [asked, waited] of [
    [500, 2_000],
    [7_000, 7_000],
    [600_000, 30_000],
  ] as const) {
    const a = createLooking();
    a.failed('HTTP 429: later', { retryAfterMs: asked });
    assert.equal(a.wakesIn(), waited);
  }
});

test('a holder that finds another one has lost at once', () => {
  const a = createHolder();
  a.after(2_000);
  a.refused();
  assert.deepEqual(a.found(lease({ holder: 'c' })), ['lost: c holds it']);
});

test('a holder whose lease was deleted keeps its time, and makes no new one', () => {
  const a = createHolder();
  a.after(2_000);
  a.refused();
  assert.deepEqual(a.found(undefined), ['trouble: the lease was deleted']);
  assert.ok(a.isHolder());
  a.after(2_000);
  assert.deepEqual(a.found(undefined), []);
  assert.deepEqual(a.after(6_000), [
    'lost: it could not be renewed for 10 s: the lease was deleted',
  ]);
});

test('a write whose answer was lost is found to be ours', () => {
  const a = createLooking();
  a.found(lease({ holder: '' }));
  a.failed('no answer');
  a.after(2_000);
  assert.deepEqual(a.found(ours('8', 4)), ['replace 8: a, 4']);
  assert.deepEqual(a.written({ transitions: 4 }), ['trouble: ', 'acquired 4']);
});

test('a holder gives the lease up as it is, and not the one of another', () => {
  const a = createHolder();
  assert.deepEqual(a.happen({ kind: 'release' }), ['replace 101: nobody, 0']);
  assert.ok(!a.isHolder());
  assert.deepEqual(a.refused(), ['read']);
  assert.deepEqual(a.found(ours('102')), ['replace 102: nobody, 0']);
  assert.deepEqual(a.written({ holder: '' }), ['released']);

  const other = createHolder();
  other.happen({ kind: 'release' });
  other.refused();
  assert.deepEqual(other.found(lease({ holder: 'c' })), ['released']);
});

test('a renewal that is under way is waited for before the lease is given up', () => {
  const a = createHolder();
  a.after(2_000);
  assert.deepEqual(a.happen({ kind: 'release' }), []);
  assert.deepEqual(a.written(), ['replace 102: nobody, 3']);
});

test('to give up an unreachable lease takes few tries', () => {
  const a = createHolder();
  a.happen({ kind: 'release' });
  const answers = [1, 2, 3, 4].flatMap(() => a.failed('away'));
  assert.deepEqual(answers, ['read', 'read', 'read', 'released']);
});

test('who waits just goes, unless it may have got the lease', () => {
  const a = createLooking();
  assert.deepEqual(a.happen({ kind: 'release' }), ['released']);
  const b = createLooking();
  b.found(undefined);
  assert.deepEqual(b.happen({ kind: 'release' }), []);
  assert.deepEqual(b.written({ transitions: 0 }), ['replace 101: nobody, 0']);
});

test('somebody who writes all the time does not make it ask all the time', () => {
  const a = createHolder();
  a.after(2_000);
  const mine = lease({ holder: 'a', transitions: 0 });
  assert.deepEqual([a.refused(), a.found(mine), a.refused(), a.found(mine)].flat(), [
    'read',
    'replace 7: a, 0',
    'read',
    'replace 7: a, 0',
  ]);
  assert.deepEqual(a.refused(), []);
  assert.equal(a.wakesIn(), 2_000);
});
