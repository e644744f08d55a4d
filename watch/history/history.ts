// A run's history: its events, and the picture that follows from them. The same events in any order
// give the same picture. Memory is bounded: of a very long run the older steps are thinned out.

import { parseCloudEvent, type ParsedEvent } from '../../shared/events/bus.js';
import { eventData } from '../../shared/events/kinds.js';
import { countSteps, worldStartsOf } from './counted-steps.js';
import { createEventLists, type EventLists, type EventOf } from './event-lists.js';
import type { ComputedBy, Evaluated, RunHistory, RunPicture } from './picture.js';
import { createObservations } from './observations.js';
import { createRunAccount } from './run-account.js';
import { pictureOf, type HistoryFacts } from './run-picture.js';
import { bytesColumn, seriesOf } from './series.js';
import { createStepRows } from './step-rows.js';
import { timeLineOf, worldLineOf, type WorldLine } from './world-line.js';

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
  const account = createRunAccount({ events, observed, rows });
  /** Of steps that are not kept any more. */
  let gone = { redone: 0, skipped: 0 };
  let newest = '';
  let facts: HistoryFacts | undefined;
  let worldLine: WorldLine | undefined;
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
    const untilMs = rows.time[order[Math.floor(order.length / 2)]];
    account.settle(counted, untilMs);
    let [{ redone, skipped }, place] = [gone, 0];
    rows.keep((row) => {
      if (rows.time[row] > untilMs) return true;
      const use = counted.use(row);
      const isKept = use === 'counts' && place++ % 2 === 0;
      if (!isKept && use === 'redone') redone++;
      if (!isKept && use === 'counts') skipped += rows.skipped[row];
      return isKept;
    });
    gone = { redone, skipped };
  };
  const look = (): HistoryFacts => {
    if (facts !== undefined) return facts;
    const starts = worldStartsOf(events);
    const counted = countSteps(rows, starts);
    const evaluations = countedEvaluations(events.of('sample.written'), starts);
    facts = {
      ...{ events, observed, rows, counted, evaluations, gone, time: newest },
      goodput: account.goodput(counted, Date.parse(newest)),
      worldLine: (worldLine ??= worldLineOf(events)),
    };
    return facts;
  };
  return {
    add: (given) => {
      const event = asEvent(given);
      if (event === undefined || !addEvent(event)) return false;
      if (event.time > newest) newest = event.time;
      account.heard(event);
      facts = picture = undefined;
      if (event.type !== 'step.committed' && event.type !== 'world.observed') worldLine = undefined;
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
    computedBy: () => computedByOf(events),
  };
}

function computedByOf(events: EventLists): ComputedBy {
  return {
    fingerprints: eachOnce(events.of('world.formed').map(({ data }) => data.fingerprint)),
    versions: eachOnce(events.of('run.started').map(({ data }) => data.lockstep ?? '')),
  };
}

/** The names that are known, in order. */
export function eachOnce(names: readonly string[]): string[] {
  return [...new Set(names)].filter((name) => name !== '').sort();
}

/** A CloudEvent is checked; what `parseCloudEvent` gave is taken as it is. */
function asEvent(given: unknown): ParsedEvent | undefined {
  if (typeof given !== 'object' || given === null) return undefined;
  if ('specversion' in given) return parseCloudEvent(given);
  const isParsed = 'type' in given && Object.hasOwn(eventData, String(given.type));
  return isParsed && 'id' in given && 'time' in given ? (given as ParsedEvent) : undefined;
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
