// The one place that a run's events come from: each is wrapped once, with its time, and given to
// all who show or keep it, so that they can't disagree. Whoever takes events can't hold the run up.

import {
  parseCloudEvent,
  toCloudEvent,
  type CloudEvent,
  type ParsedEvent,
} from '../../shared/events/bus.js';
import type { EventData, EventType } from '../../shared/events/kinds.js';
import { maskSecrets, messageOf, printable } from '../../shared/problems.js';

export interface RunEvents {
  /** `id` is unique within the run, and the same whenever the same thing is published again. */
  publish<T extends EventType>(type: T, id: string, data: EventData<T>): void;
  /** The listener is called at once, and should neither throw nor wait; gives what ends it. */
  subscribe(name: string, listener: EventListener): () => void;
}

/** Hears an event as it is sent; and parsed, unless it is not as the schema of its type says. */
export type EventListener = (event: CloudEvent, parsed: ParsedEvent | undefined) => void;

export interface RunEventsOptions {
  readonly run: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A listener that throws time after time hears nothing more, and this is said. */
  readonly onNotice: (text: string) => void;
}

/** A listener that throws so often in a row is given up. */
const maxFailures = 10;

/** No listener yet: what is published before the first is heard by nobody. */
export function createRunEvents({ run, now, onNotice }: RunEventsOptions): RunEvents {
  const listeners = new Set<{ readonly name: string; listener: EventListener; failures: number }>();
  return {
    publish: (type, id, data) => {
      const event = toCloudEvent(run, { type, id, data }, new Date(now()).toISOString());
      const parsed = parseCloudEvent(event);
      for (const one of [...listeners])
        try {
          one.listener(event, parsed);
          one.failures = 0;
        } catch (error) {
          one.failures += 1;
          if (one.failures < maxFailures) continue;
          listeners.delete(one);
          onNotice(
            `${one.name} gets no more events: ${maxFailures} in a row failed: ${messageOf(error)}`,
          );
        }
    },
    subscribe: (name, listener) => {
      const one = { name, listener, failures: 0 };
      listeners.add(one);
      return () => void listeners.delete(one);
    },
  };
}

/** The same text is published again after so long, and within it so many texts at most. */
const noticeWindowMs = 60_000;
const maxNotices = 20;

/** Longest text of an event. */
const maxTextLength = 4_000;

/** A stranger's text as an event may carry it: like a log's, it shows no secrets. */
export function eventText(text: string): string {
  return maskSecrets(printable(text)).slice(0, maxTextLength);
}

/**
 * Publishes notices as events. A bus that is full says so with each event that it loses: so a
 * notice that comes while one is published is none for the bus, and there are only so many.
 */
export function createNoticeEvents(
  events: RunEvents,
  { term, now }: { readonly term: number; readonly now: () => number },
): (step: number, text: string) => void {
  let told = new Map<string, number>();
  let isTelling = false;
  let count = 0;
  return (step, given) => {
    const text = eventText(given);
    const nowMs = now();
    told = new Map([...told].filter(([, atMs]) => nowMs - atMs < noticeWindowMs));
    if (isTelling || told.has(text) || told.size >= maxNotices) return;
    told.set(text, nowMs);
    isTelling = true;
    events.publish('run.noticed', `run-noticed-${term}-${++count}`, { step, text });
    isTelling = false;
  };
}
