// The account of where a run's time went, from what is known of it at the moment. It is made from
// the events in the order of time; what is long ago is accounted for once.

import type { ParsedEvent } from '../../shared/events/bus.js';
import type { CountedSteps } from './counted-steps.js';
import type { EventLists } from './event-lists.js';
import { createGoodputAccount, type Mark } from './goodput.js';
import type { Observations } from './observations.js';
import type { Goodput } from './picture.js';
import type { StepRows } from './step-rows.js';

/** Of so much time, up to now, goodput is accounted for anew with each picture. */
const unsettledMs = 60_000;

/** All that is known of a run. */
export interface KnownRun {
  readonly events: EventLists;
  readonly observed: Observations;
  readonly rows: StepRows;
}

export interface RunAccount {
  /** An event has come, which may change what was accounted for. */
  heard(event: ParsedEvent): void;
  /** Accounts for good for the time up to `untilMs`: rows of it may go. */
  settle(counted: CountedSteps, untilMs: number): void;
  /** At the newest event. */
  goodput(counted: CountedSteps, newestMs: number): Goodput;
}

/** Nothing is accounted for yet. */
export function createRunAccount(known: KnownRun): RunAccount {
  /** For good up to a time; and further, until an event comes that changes what that has. */
  let past = { timeMs: -Infinity, account: createGoodputAccount() };
  let settled = past;
  const upTo = (counted: CountedSteps, from: typeof past, timeMs: number): typeof past => {
    const account = from.account.copy();
    for (const mark of marksOf(known, counted, from.timeMs, timeMs)) account.mark(mark);
    return { timeMs, account };
  };
  return {
    heard: ({ type, time }) => {
      const isLate = Date.parse(time) <= settled.timeMs;
      // A world can go on from a step before the newest: what is redone is known with it.
      if (isLate || type === 'world.formed' || type === 'world.rolledBack') settled = past;
    },
    settle: (counted, untilMs) => {
      settled = past = upTo(counted, past, untilMs);
    },
    goodput: (counted, newestMs) => {
      const borderMs = newestMs - unsettledMs;
      if (borderMs > settled.timeMs) settled = upTo(counted, settled, borderMs);
      return upTo(counted, settled, Infinity).account.goodput();
    },
  };
}

/** What goodput is taken from, in the order of time: steps, and what happened between them. */
function* marksOf(
  { events, observed, rows }: KnownRun,
  counted: CountedSteps,
  afterMs: number,
  untilMs: number,
): Generator<Mark> {
  const isIn = ({ timeMs }: { readonly timeMs: number }): boolean =>
    timeMs > afterMs && timeMs <= untilMs;
  const heard = observed.all().filter(isIn);
  const others = [...events.all().map(markOf), ...heard.map(heardAt)]
    .filter(isIn)
    .sort((a, b) => a.timeMs - b.timeMs);
  let next = 0;
  for (const row of rows.byTime()) {
    const timeMs = rows.time[row];
    if (timeMs <= afterMs) continue;
    if (timeMs > untilMs) break;
    // What ends the run comes after the steps of its moment.
    while (next < others.length && others[next].timeMs < timeMs) yield others[next++];
    const use = counted.use(row);
    if (use === 'repeated') yield { kind: 'heard', timeMs };
    else {
      const kind = use === 'redone' ? 'redone' : rows.skipped[row] === 1 ? 'skipped' : 'useful';
      yield { kind: 'step', timeMs, seconds: rows.seconds[row], use: kind };
    }
  }
  yield* others.slice(next);
}

function heardAt({ timeMs }: { readonly timeMs: number }): Mark {
  return { kind: 'heard', timeMs };
}

function markOf({ type, time }: ParsedEvent): Mark {
  const timeMs = Date.parse(time);
  switch (type) {
    case 'run.started':
      return { kind: 'started', timeMs };
    case 'run.finished':
    case 'run.stopped':
    case 'run.failed':
      return { kind: 'ended', timeMs };
    case 'world.lost':
      return { kind: 'lost', timeMs };
    case 'world.formed':
      return { kind: 'formed', timeMs };
    default:
      return { kind: 'heard', timeMs };
  }
}
