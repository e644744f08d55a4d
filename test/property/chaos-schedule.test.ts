// The schedule of `lockstep chaos` against its laws: a pure function of the seed and of what is
// seen, that strikes only what it may.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  coordinatorFaults,
  faultKinds,
  obeyedFaults,
  signalFaults,
} from '../../cli/chaos/faults.js';
import {
  calmMs,
  decide,
  flipSteps,
  killPauseMs,
  startSchedule,
  type Decision,
  type SchedulePlan,
  type Seen,
} from '../../cli/chaos/schedule.js';

const workers = fc.uniqueArray(fc.integer({ min: 0, max: 12 }), { maxLength: 6 }).chain((ids) =>
  fc.tuple(
    ...ids.map((id) =>
      fc.record({
        worker: fc.constant(`worker-${id}`),
        isMember: fc.boolean(),
        isLeaving: fc.boolean(),
        allowsFaults: fc.boolean(),
        isHere: fc.boolean(),
      }),
    ),
  ),
);

const sights: fc.Arbitrary<Seen> = fc.record({
  workers,
  target: fc.integer({ min: 1, max: 6 }),
  isCalm: fc.boolean(),
  isFlipped: fc.boolean(),
  stepsLeft: fc.integer({ min: 0, max: 2 * flipSteps }),
  isCoordinatorHere: fc.boolean(),
});

const plans: fc.Arbitrary<SchedulePlan> = fc.record({
  seed: fc.nat(),
  everyMs: fc.integer({ min: 100, max: 10_000 }),
  faults: fc
    .subarray([...faultKinds], { minLength: 1 })
    .map((kinds) => kinds.map((kind, i) => ({ kind, weight: 1 + i }))),
  home: fc.integer({ min: 1, max: 6 }),
  microShards: fc.integer({ min: 1, max: 6 }),
});

/** Sights and the milliseconds between them. */
const courses = fc.array(fc.tuple(sights, fc.integer({ min: 50, max: 3_000 })), {
  minLength: 1,
  maxLength: 60,
});

interface Moment extends Decision {
  readonly nowMs: number;
  readonly seen: Seen;
}

type Course = readonly (readonly [Seen, number])[];

function play(plan: SchedulePlan, course: Course): Moment[] {
  let state = startSchedule(plan, 0);
  let nowMs = 0;
  return course.map(([seen, ms]) => {
    nowMs += ms;
    const decision = decide(plan, state, seen, nowMs);
    ({ state } = decision);
    return { ...decision, nowMs, seen };
  });
}

/** A law of every schedule. */
const always = (holds: (plan: SchedulePlan, course: Course) => void): void =>
  fc.assert(fc.property(plans, courses, holds));

test('the same seed and the same sights give the same faults, however the workers are listed', () => {
  always((plan, course) => {
    const reversed = course.map(
      ([seen, ms]) => [{ ...seen, workers: [...seen.workers].reverse() }, ms] as const,
    );
    const faults = (moments: readonly Moment[]) => moments.map(({ fault }) => fault);
    assert.deepEqual(faults(play(plan, reversed)), faults(play(plan, course)));
  });
});

test('kills are apart by the pause, faults by half of --every, and the first waits', () => {
  always((plan, course) => {
    const moments = play(plan, course).filter(({ fault }) => fault !== undefined);
    const kills = moments.filter(
      ({ fault }) => fault?.kind === 'kill' || fault?.kind === 'coordinator',
    );
    const gaps = (those: readonly Moment[]) =>
      those.slice(1).map(({ nowMs }, i) => nowMs - (those[i]?.nowMs ?? 0));
    assert.ok(gaps(kills).every((ms) => ms >= killPauseMs));
    assert.ok(gaps(moments).every((ms) => ms >= plan.everyMs / 2));
    assert.ok((moments[0]?.nowMs ?? calmMs) >= calmMs);
  });
});

test('a victim is there, may be struck, and is never the last one that is asked to leave', () => {
  always((plan, course) => {
    for (const { fault, seen } of play(plan, course)) {
      if (fault === undefined) continue;
      const { kind, victim, peer, seconds, workers: size } = fault;
      assert.ok(!seen.isFlipped, 'a flipped bit is found first');
      if (coordinatorFaults.has(kind)) assert.ok(seen.isCoordinatorHere);
      else if (kind === 'scale')
        assert.ok(size >= 1 && size <= plan.microShards && size !== seen.target);
      else {
        const struck = seen.workers.find(({ worker }) => worker === victim);
        assert.ok(struck !== undefined && !struck.isLeaving);
        if (signalFaults.has(kind)) assert.ok(struck.isHere);
        if (obeyedFaults.has(kind)) assert.ok(struck.allowsFaults && struck.isMember);
      }
      const staying = seen.workers.filter(({ isLeaving }) => !isLeaving);
      if (kind === 'drain') assert.ok(staying.length > 1);
      if (kind === 'flip') assert.ok(seen.isCalm && seen.stepsLeft > flipSteps);
      if (kind === 'mute') assert.ok(peer !== victim && peer !== '');
      assert.ok(seconds >= 0 && seconds <= 5);
    }
  });
});

test('no worker’s bit is flipped twice', () => {
  const member = { isMember: true, isLeaving: false, allowsFaults: true, isHere: true };
  const seen: Seen = {
    workers: ['a', 'b', 'c'].map((worker) => ({ worker, ...member })),
    ...{ target: 3, isCalm: true, isFlipped: false, stepsLeft: 1_000, isCoordinatorHere: true },
  };
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const faults = [{ kind: 'flip', weight: 1 }] as const;
      const plan = { seed, everyMs: 1_000, faults, home: 3, microShards: 3 };
      const course = Array.from({ length: 30 }, () => [seen, 1_000] as const);
      const victims = play(plan, course).flatMap(({ fault }) => fault?.victim ?? []);
      assert.deepEqual(victims.sort(), ['a', 'b', 'c']);
    }),
  );
});

test('workers that were taken are given back, again and again until they are there', () => {
  always((plan, course) => {
    let isOwed = false;
    for (const { fault, restore, state, seen, nowMs } of play(plan, course)) {
      if (restore !== undefined) {
        assert.ok(isOwed, 'only what was taken is given back');
        assert.equal(restore, plan.home);
        assert.ok(seen.target !== plan.home || seen.workers.length < plan.home);
        assert.ok((state.restoreMs ?? 0) > nowMs);
      }
      if (fault?.kind === 'drain' || fault?.kind === 'scale') isOwed = true;
      if (state.restoreMs === undefined) isOwed = false;
    }
  });
});
