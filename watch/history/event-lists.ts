// The events of a run that are neither steps nor observations: each once, by type, in the order of
// time, so many at most.

import type { ParsedEvent } from '../../shared/events/bus.js';
import type { EventType } from '../../shared/events/kinds.js';

/** An event of one type. */
export type EventOf<T extends EventType> = Extract<ParsedEvent, { readonly type: T }>;

/** Events of a type that are kept; beyond, every other one of the older half goes. */
const maxEvents = 5_000;

export interface EventLists {
  /** False when it is known already. */
  add(event: ParsedEvent): boolean;
  /** In the order of time. */
  of<T extends EventType>(type: T): readonly EventOf<T>[];
  /** How many there were, those that are not kept any more included. */
  count(type: EventType): number;
  /** All that are kept, in the order of time; of the same moment, causes first. */
  all(): readonly ParsedEvent[];
}

/** Events of one moment come in this order. */
const order: readonly EventType[] = [
  'run.started',
  'run.scaled',
  'world.lost',
  'world.rolledBack',
  'world.formed',
  'run.judged',
  'checkpoint.committed',
  'sample.written',
  'run.noticed',
  'run.stopped',
  'run.failed',
  'run.finished',
];

/** Empty lists. */
export function createEventLists(limit = maxEvents): EventLists {
  const lists = new Map(order.map((type) => [type, createList(limit)]));
  let all: readonly ParsedEvent[] | undefined;
  const listOf = (type: EventType): EventList => {
    const list = lists.get(type);
    if (list === undefined) throw new Error(`no list of ${type}`);
    return list;
  };
  return {
    add: (event) => {
      const isNew = listOf(event.type).add(event);
      if (isNew) all = undefined;
      return isNew;
    },
    of: <T extends EventType>(type: T) => listOf(type).events() as readonly EventOf<T>[],
    count: (type) => listOf(type).dropped() + listOf(type).events().length,
    all: () => {
      all ??= order.flatMap((type) => listOf(type).events()).sort(byTime);
      return all;
    },
  };
}

type EventList = ReturnType<typeof createList>;

function createList(limit: number) {
  let events: ParsedEvent[] = [];
  let ids = new Set<string>();
  let dropped = 0;
  let isSorted = true;
  const sort = (): ParsedEvent[] => {
    if (!isSorted) events.sort(byTime);
    isSorted = true;
    return events;
  };
  return {
    add: (event: ParsedEvent): boolean => {
      if (ids.has(event.id)) return false;
      const last = events.at(-1);
      isSorted &&= last === undefined || byTime(last, event) <= 0;
      events.push(event);
      ids.add(event.id);
      if (events.length <= limit) return true;
      const half = limit / 2;
      const kept = sort().filter((_, i) => i >= half || i % 2 === 0);
      dropped += events.length - kept.length;
      events = kept;
      ids = new Set(kept.map(({ id }) => id));
      return true;
    },
    events: (): readonly ParsedEvent[] => sort(),
    dropped: () => dropped,
  };
}

/** The order of events by time. */
export function byTime(a: ParsedEvent, b: ParsedEvent): number {
  if (a.time !== b.time) return a.time < b.time ? -1 : 1;
  return order.indexOf(a.type) - order.indexOf(b.type) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
