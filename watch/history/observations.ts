// How the workers were, every few seconds: the newest observation whole, of the others the bytes.

import { byTime, type EventOf } from './event-lists.js';

/** What is kept of every observation. */
export interface Observation {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  /** That all workers together sent for a step. */
  readonly bytes: number;
}

type Observed = EventOf<'world.observed'>;

export interface Observations {
  /** False when it is known already. */
  add(event: Observed): boolean;
  newest(): Observed | undefined;
  /** In the order of time. */
  all(): readonly Observation[];
}

/** At most so many are kept; beyond, every other one of the older half goes. */
export function createObservations(limit: number): Observations {
  let kept: Observation[] = [];
  let ids = new Set<string>();
  let newest: Observed | undefined;
  let isSorted = true;
  const sort = (): Observation[] => {
    if (!isSorted) kept.sort((a, b) => a.timeMs - b.timeMs || (a.id < b.id ? -1 : 1));
    isSorted = true;
    return kept;
  };
  return {
    add: (event) => {
      const { id } = event;
      if (ids.has(id)) return false;
      const timeMs = Date.parse(event.time);
      isSorted &&= kept.length === 0 || kept[kept.length - 1].timeMs < timeMs;
      kept.push({ id, timeMs, bytes: sentBytesOf(event.data) });
      ids.add(id);
      if (newest === undefined || byTime(newest, event) < 0) newest = event;
      if (kept.length > limit) {
        kept = sort().filter((_, i) => i >= limit / 2 || i % 2 === 0);
        ids = new Set(kept.map((one) => one.id));
      }
      return true;
    },
    newest: () => newest,
    all: () => sort(),
  };
}

/** Bytes that all workers together sent for a step. */
export function sentBytesOf({ workers }: Observed['data']): number {
  return workers.reduce((sum, { sent_bytes: sent }) => sum + sent, 0);
}
