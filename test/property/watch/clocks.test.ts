// Whatever the network does, the true offset lies within the error that is said: exchanges over a
// simulated network whose two ways take different times, between clocks of different speeds.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { alignClock, readClock, type ClockExchange } from '../../../watch/step-trace/clocks.js';

/** A clock against that of reference: `ahead` of it at 0, and faster by `ppm`. */
interface SimulatedClock {
  readonly ahead: number;
  readonly ppm: number;
}

const originUs = 1.7e15;
const at = ({ ahead, ppm }: SimulatedClock, us: number): number =>
  originUs + us + ahead + (ppm * us) / 1e6;

const clock = fc.record({
  ahead: fc.integer({ min: -10_000_000_000, max: 10_000_000_000 }),
  ppm: fc.integer({ min: -400, max: 400 }),
});
const delay = fc.integer({ min: 1, max: 200_000 });
const ways = fc.record({ there: delay, hold: fc.integer({ min: 0, max: 5_000 }), back: delay });
const rounds = fc.array(ways, { minLength: 1, maxLength: 20 });

/** Exchanges one after the other, from `startUs` on. */
function exchange(
  other: SimulatedClock,
  startUs: number,
  list: readonly { there: number; hold: number; back: number }[],
): { readonly exchanges: ClockExchange[]; readonly endUs: number } {
  let us = startUs;
  const exchanges = list.map(({ there, hold, back }) => {
    const sent = us;
    const received = sent + there;
    us = received + hold + back;
    return {
      sentUs: originUs + sent,
      receivedUs: at(other, received),
      repliedUs: at(other, received + hold),
      answeredUs: originUs + us,
    };
  });
  return { exchanges, endUs: us };
}

/** How far an aligned time is from the true one. */
const errorAt = (other: SimulatedClock, us: number, align: (us: number) => number): number =>
  Math.abs(align(at(other, us)) - (originUs + us));

test('times between two readings are right within the error given', () => {
  const length = fc.integer({ min: 0, max: 600_000_000 });
  const part = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(clock, rounds, length, rounds, part, (other, first, lengthUs, second, where) => {
      const before = exchange(other, 0, first);
      const after = exchange(other, before.endUs + lengthUs, second);
      const readings = [before, after].map(({ exchanges }) => readClock(exchanges));
      const alignment = alignClock(
        readings.map((reading) => reading ?? assert.fail('no reading')),
        0,
      );
      const us = before.endUs + where * lengthUs;
      assert.ok(alignment !== undefined);
      assert.ok(errorAt(other, us, alignment.align) <= alignment.errorUs);
    }),
  );
});

test('by one reading alone they are as well, as far as it is said', () => {
  fc.assert(
    fc.property(clock, rounds, fc.integer({ min: 0, max: 1e9 }), (other, list, laterUs) => {
      const { exchanges, endUs } = exchange(other, 0, list);
      const reading = readClock(exchanges);
      assert.ok(reading !== undefined);
      const us = endUs + laterUs;
      const alignment = alignClock([reading], at(other, us));
      assert.ok(alignment !== undefined);
      assert.ok(errorAt(other, us, alignment.align) <= alignment.errorUs);
    }),
  );
});
