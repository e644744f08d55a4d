// The election of a leader by seed: two and three contenders, cut off, crashed, frozen and drained,
// with clocks as wrong as they may be. And planted mistakes, each of which has to be noticed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ElectionState } from '../../../coordinator/core/election.js';
import { runElection, type ElectionOptions, type ElectionResult } from './contenders.js';

const describe = ({ seed, failure, tail }: ElectionResult): string =>
  [`seed ${seed}: ${failure}`, ...tail].join('\n');

for (const contenders of [2, 3])
  test(`1000 seeds of ${contenders} contenders, of which no two ever hold the lease`, (t) => {
    const totals = { acquired: 0, lost: 0, released: 0 };
    const faults = new Map<string, number>();
    for (let seed = 1; seed <= 1_000; seed++) {
      const result = runElection(seed, { contenders });
      if (result.failure !== undefined) assert.fail(describe(result));
      for (const key of ['acquired', 'lost', 'released'] as const) totals[key] += result[key];
      for (const [kind, times] of result.faults) faults.set(kind, (faults.get(kind) ?? 0) + times);
    }
    t.diagnostic(`${JSON.stringify(totals)} ${JSON.stringify(Object.fromEntries(faults))}`);
    assert.equal(faults.size, 9, 'every kind of fault was drawn');
    assert.ok(totals.acquired > 2_000 && totals.lost > 300 && totals.released > 300);
  });

test('the same seed gives the same trace, and another one another', () => {
  const sums = [1, 2, 3].map((seed) => [runElection(seed).sha256, runElection(seed).sha256]);
  for (const [first, second] of sums) assert.equal(first, second);
  assert.equal(new Set(sums.map(([first]) => first)).size, 3);
});

interface Mistake extends ElectionOptions {
  readonly mistake: string;
  readonly noticed: RegExp;
}

const twoHold = /hold the lease \(/;

const mistakes: readonly Mistake[] = [
  {
    mistake: 'a holder goes on for longer than the others wait',
    noticed: twoHold,
    timing: { renewDeadlineMs: 17_000 },
  },
  {
    mistake: 'the others wait for less than a holder goes on',
    noticed: twoHold,
    timing: { leaseMs: 8_000 },
  },
  { mistake: 'clocks are wrong by more than the bound', noticed: twoHold, drift: 0.3 },
  { mistake: 'the server takes every write', noticed: twoHold, forgetsVersions: true },
  {
    mistake: 'the time of a holder counts from the answer',
    noticed: twoHold,
    timing: { requestMs: 9_000 },
    slowestMs: 9_000,
    meddle: ({ request }, event, nowMs) => {
      if (event.kind === 'written' && request !== undefined)
        Object.assign(request, { sentMs: nowMs });
    },
  },
  {
    mistake: 'the time of a lease is taken from the clock of its holder',
    noticed: twoHold,
    meddle: ({ seen }: ElectionState) => {
      if (seen?.lease !== undefined) Object.assign(seen, { sinceMs: Number(seen.lease.stamp) });
    },
  },
  {
    mistake: 'an answer is waited for without end',
    noticed: /nobody holds the lease|without a fault/,
    isPatient: true,
  },
];

for (const { mistake, noticed, ...options } of mistakes)
  test(`${mistake}: noticed`, (t) => {
    for (let seed = 1; seed <= 300; seed++) {
      const { failure } = runElection(seed, options);
      if (failure === undefined) continue;
      t.diagnostic(`seed ${seed}: ${failure}`);
      return assert.match(failure, noticed);
    }
    assert.fail('not noticed within 300 seeds');
  });
