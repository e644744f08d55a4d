// What came of a fault, told from one look after the other.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FaultKind } from '../../../cli/chaos/faults.js';
import { follow, startFollowing, type Followed } from '../../../cli/chaos/recovery.js';
import type { RunStatus } from '../../../shared/control/admin.js';
import { statusOf, workerOf } from './run-status.js';

/** Looks at a run that was whole when the fault struck "b"; milliseconds and what was seen. */
function watch(
  kind: FaultKind,
  seconds: number,
  looks: readonly (readonly [number, RunStatus | undefined])[],
  before = statusOf(),
): Followed {
  const victim = kind.startsWith('coordinator') ? 'coordinator' : kind === 'scale' ? 'run' : 'b';
  const fault = { kind, victim, peer: '', seconds, workers: 0 };
  const start = startFollowing(fault, before, 1_000);
  return looks.reduce((so, [ms, status]) => follow(so, { atMs: 1_000 + ms, status }), start);
}

const figures = ({ outcome, detectedMs, recoveredMs }: Followed) => [
  ...[outcome, detectedMs, recoveredMs],
];
const without = [workerOf('a', 0), workerOf('b', -1), workerOf('c', 1)];
const halting = statusOf({ stage: 'halting', reason: 'b was lost: it was silent' });
const next = (step: number) => statusOf({ generation: 8, step, workers: without });

test('a killed worker: noticed when the world halts, over with a step of the next world', () => {
  const looks = [
    [50, statusOf({ step: 11 })],
    [100, halting],
    [150, next(11)],
    [200, next(11)],
    [250, next(12)],
  ] as const;
  const followed = watch('kill', 0, looks);
  assert.deepEqual(figures(followed), ['recovered', 100, 250]);
  assert.match(followed.reason, /b was lost/);
  assert.deepEqual(figures(watch('kill', 0, looks.slice(0, 4))), ['open', 100, undefined]);
});

test('a world that is formed for another reason is not taken for a notice', () => {
  const joined = statusOf({ generation: 8, step: 12, worldReason: 'd joins' });
  assert.equal(watch('kill', 0, [[50, joined]]).detectedMs, undefined);
  const other = statusOf({ stage: 'halting', reason: 'bb was lost' });
  assert.equal(watch('kill', 0, [[50, other]]).detectedMs, undefined);
  const named = statusOf({
    generation: 8,
    step: 12,
    worldReason: "a can't reach b, which is heard",
  });
  assert.equal(watch('mute', 3, [[50, named]]).detectedMs, 50);
});

test('a short freeze may pass unnoticed: once it is long over and steps have come since', () => {
  const looks = [
    [400, statusOf({ step: 10 })],
    [600, statusOf({ step: 10 })],
    [3_000, statusOf({ step: 20 })],
  ] as const;
  assert.deepEqual(figures(watch('freeze', 0.5, looks)), ['open', undefined, undefined]);
  const late = [...looks, [5_000, statusOf({ step: 30 })] as const];
  assert.deepEqual(figures(watch('freeze', 0.5, late)), ['unnoticed', undefined, undefined]);
  const stuck = [...looks.slice(0, 2), [5_000, statusOf({ step: 10 })] as const];
  assert.equal(watch('freeze', 0.5, stuck).outcome, 'open');
});

test('a kill inside the world never passes unnoticed; outside of it, it does', () => {
  const looks = [
    [100, statusOf({ step: 11 })],
    [9_000, statusOf({ step: 30 })],
  ] as const;
  assert.equal(watch('kill', 0, looks).outcome, 'open');
  assert.equal(watch('kill', 0, looks, statusOf({ workers: without })).outcome, 'unnoticed');
});

test('a coordinator is back when one answers and steps are seen again', () => {
  const term2 = (step: number) => statusOf({ term: 2, step });
  const looks = [
    [100, undefined],
    [900, undefined],
    [1_000, statusOf({ term: 2, stage: 'gathering', generation: 0, step: 15 })],
    [1_100, term2(20)],
    [1_200, term2(21)],
  ] as const;
  assert.deepEqual(figures(watch('coordinator', 0, looks)), ['recovered', 100, 1_200]);
  assert.equal(watch('coordinator', 0, looks).reason, '');
});

test('after a flip the run may be set back; steps count from where it is then', () => {
  const reason = 'the state after step 16: b differs from the others';
  const looks = [
    [100, statusOf({ step: 16 })],
    [200, statusOf({ stage: 'halting', step: 16, reason })],
    [300, statusOf({ generation: 8, step: 8, worldReason: '3 of 3 workers joined' })],
    [400, statusOf({ generation: 8, step: 9 })],
  ] as const;
  const followed = watch('flip', 0, looks);
  assert.deepEqual(figures(followed), ['recovered', 200, 400]);
  assert.equal(followed.reason, reason);
});

test('what nothing is seen of for two minutes is given up', () => {
  assert.equal(watch('kill', 0, [[120_001, statusOf()]]).outcome, 'lost');
});
