// A run's history: its events, and the picture that follows from them. The same events in any order
// give the same picture. Memory is bounded: of a very long run the older steps are thinned out.

import { parseCloudEvent, type ParsedEvent } from '../../shared/events/bus.js';
import { eventData } from '../../shared/events/kinds.js';
import { countSteps, worldStartsOf, type CountedSteps } from './counted-steps.js';
import { createEventLists, type EventLists, type EventOf } from './event-lists.js';
import { createGoodputAccount, type Mark } from './goodput.js';
import type { Evaluated, RunHistory, RunPicture } from './picture.js';
import { createObservations, type Observations } from './observations.js';
import { pictureOf, type HistoryFacts } from './run-picture.js';
import { bytesColumn, seriesOf } from './series.js';
import { createStepRows, type StepRows } from './step-rows.js';
import { timeLineOf, worldLineOf } from './world-line.js';

/** Bounds of a history. */
export interface HistoryLimits {
  /** Steps; beyond, every other one of the older half goes. */
  readonly rows: number;
  /** Events of each other type. */
  readonly events: number;
  /** Of which little is kept. */
  readonly observations: number;
  /** Happenings of the time line. */
  readonly happenings: number;
}

const defaultLimits: HistoryLimits = {
  rows: 200_000,
  events: 5_000,
  observations: 50_000,
  happenings: 5_000,
};

/** An empty history. */
export function createRunHistory(limits: HistoryLimits = defaultLimits): RunHistory {
  const rows = createStepRows();
  const events = createEventLists(limits.events);
  const observed = createObservations(limits.observations);
  /** Up to `timeMs` steps are accounted for, and may be gone. */
  let past = { timeMs: -Infinity, account: createGoodputAccount(), redone: 0, skipped: 0 };
  let newest = '';
  let facts: HistoryFacts | undefined;
  let picture: RunPicture | undefined;

  const addEvent = (event: ParsedEvent): boolean => {
    if (event.type === 'world.observed') return observed.add(event);
    if (event.type !== 'step.committed') return events.add(event);
    const timeMs = Date.parse(event.time);
    if (!rows.add(timeMs, event.data)) return false;
    if (rows.length > limits.rows) thinOut();
    return true;
  };
  const thinOut = (): void => {
    const counted = countSteps(rows, worldStartsOf(events));
    const order = rows.byTime();
    const middle = order[Math.floor(order.length / 2)];
    const untilMs = rows.time[middle];
    const marks = marksOf({ events, observed, rows, counted }, past.timeMs, untilMs);
    for (const mark of marks) past.account.mark(mark);
    let [redone, skipped, place] = [past.redone, past.skipped, 0];
    rows.keep((row) => {
      if (rows.time[row] > untilMs) return true;
      const use = counted.use(row);
      const isKept = use === 'counts' && place++ % 2 === 0;
      if (!isKept && use === 'redone') redone++;
      if (!isKept && use === 'counts') skipped += rows.skipped[row];
      return isKept;
    });
    past = { timeMs: untilMs, account: past.account, redone, skipped };
  };
  const look = (): HistoryFacts => {
    if (facts !== undefined) return facts;
    const starts = worldStartsOf(events);
    const counted = countSteps(rows, starts);
    const account = past.account.copy();
    for (const mark of marksOf({ events, observed, rows, counted }, past.timeMs, Infinity))
      account.mark(mark);
    const evaluations = countedEvaluations(events.of('sample.written'), starts);
    facts = {
      ...{ events, observed, rows, counted, account, evaluations, gone: past, time: newest },
      worldLine: worldLineOf(events),
    };
    return facts;
  };
  return {
    add: (given) => {
      const event = asEvent(given);
      if (event === undefined || !addEvent(event)) return false;
      if (event.time > newest) newest = event.time;
      facts = picture = undefined;
      return true;
    },
    picture: () => (picture ??= pictureOf(look())),
    series: (request) => {
      const { counted, evaluations } = look();
      const derived = new Map([['bytes_per_step', bytesColumn(observed.all(), rows)]]);
      return seriesOf(rows, counted.rows, evaluations, derived, request);
    },
    timeLine: () => {
      const { worldLine, counted } = look();
      return timeLineOf(worldLine, rows, counted.rows, limits.happenings);
    },
  };
}

/** A CloudEvent is checked; what `parseCloudEvent` gave is taken as it is. */
function asEvent(given: unknown): ParsedEvent | undefined {
  if (typeof given !== 'object' || given === null) return undefined;
  if ('specversion' in given) return parseCloudEvent(given);
  const isParsed = 'type' in given && Object.hasOwn(eventData, String(given.type));
  return isParsed && 'id' in given && 'time' in given ? (given as ParsedEvent) : undefined;
}

/** What goodput is taken from, in the order of time: steps, and what happened between them. */
function* marksOf(
  { events, observed, rows, counted }: Marked,
  afterMs: number,
  untilMs: number,
): Generator<Mark> {
  const heard = observed.all().map(({ timeMs }): Mark => ({ kind: 'heard', timeMs }));
  const others = [...events.all().map(markOf), ...heard]
    .filter(({ timeMs }) => timeMs > afterMs && timeMs <= untilMs)
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
      yield { kind: 'step', timeMs, seconds: rows.secondsOf(row), use: kind };
    }
  }
  yield* others.slice(next);
}

interface Marked {
  readonly events: EventLists;
  readonly observed: Observations;
  readonly rows: StepRows;
  readonly counted: CountedSteps;
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

/** Of each step the newest evaluation that is not given up. */
function countedEvaluations(
  samples: readonly EventOf<'sample.written'>[],
  starts: ReturnType<typeof worldStartsOf>,
): Evaluated[] {
  const byStep = new Map<number, Evaluated>();
  for (const { data, time } of samples) {
    const known = byStep.get(data.step);
    if (starts.isGivenUp(data.step, data.generation)) continue;
    if (known === undefined || known.generation < data.generation)
      byStep.set(data.step, { ...data, time });
  }
  return [...byStep.values()].sort((a, b) => a.step - b.step);
}
