// One clock against another, from messages that carry times: NTP's four timestamps. Arithmetic
// alone; times are microseconds. What is said of an error holds whatever the network does.

/** A question for the time and its answer. */
export interface ClockExchange {
  /** Asked, on the clock of reference. */
  readonly sentUs: number;
  /** The question came, and the answer left, on the other clock. */
  readonly receivedUs: number;
  readonly repliedUs: number;
  /** The answer came, on the clock of reference. */
  readonly answeredUs: number;
}

/** Another clock, measured at one time. */
export interface ClockReading {
  /** When, on the other clock. */
  readonly atUs: number;
  /** The other clock minus that of reference. */
  readonly offsetUs: number;
  /** The offset is wrong by at most so much. */
  readonly errorUs: number;
}

/** The fastest that two clocks come apart: NTP itself moves a clock by no more than 500 ppm. */
const mostDrift = 500e-6;

/** What a clock's own steps, and the rounding of times since 1970, come to. */
const grainUs = 1;

/**
 * The offset by the exchange with the least round trip (RFC 5905, section 8). It is exact when both
 * ways take equally long, and wrong by at most half the round trip, net of the time between the two
 * stamps of the other clock. Undefined without an exchange.
 */
export function readClock(exchanges: readonly ClockExchange[]): ClockReading | undefined {
  let best: ClockExchange | undefined;
  for (const exchange of exchanges)
    if (best === undefined || roundTrip(exchange) < roundTrip(best)) best = exchange;
  if (best === undefined) return undefined;
  const { sentUs, receivedUs, repliedUs, answeredUs } = best;
  return {
    atUs: (receivedUs + repliedUs) / 2,
    offsetUs: (receivedUs - sentUs + (repliedUs - answeredUs)) / 2,
    errorUs: roundTrip(best) / 2 + mostDrift * (answeredUs - sentUs) + grainUs,
  };
}

function roundTrip({ sentUs, receivedUs, repliedUs, answeredUs }: ClockExchange): number {
  return Math.max(0, answeredUs - sentUs - (repliedUs - receivedUs));
}

/** How to take one clock's times to another's. */
export interface ClockAlignment {
  /** Halfway between the readings. */
  readonly offsetUs: number;
  /** Largest error of any time between the readings, or up to `untilUs`. */
  readonly errorUs: number;
  /** How much faster the other clock runs, in millionths; undefined with one reading. */
  readonly driftPpm: number | undefined;
  /** A time of the other clock, on the clock of reference. */
  align(us: number): number;
}

/**
 * The alignment by a reading before and one after. In between, the offset is a straight line, which
 * is right where the clocks' speeds are constant. By one reading alone the error grows until
 * `untilUs`, a time of the other clock. Undefined without a reading.
 */
export function alignClock(
  readings: readonly ClockReading[],
  untilUs: number,
): ClockAlignment | undefined {
  const [before, after = before] = readings;
  if (before === undefined || after === undefined) return undefined;
  const lengthUs = after.atUs - before.atUs;
  const slope = lengthUs > 0 ? (after.offsetUs - before.offsetUs) / lengthUs : 0;
  const beyondUs = Math.max(0, untilUs - after.atUs);
  return {
    offsetUs: (before.offsetUs + after.offsetUs) / 2,
    errorUs: Math.max(before.errorUs, after.errorUs) + 2 * mostDrift * beyondUs,
    driftPpm: lengthUs > 0 ? 1e6 * slope : undefined,
    align: (us) => us - before.offsetUs - slope * (us - before.atUs),
  };
}
