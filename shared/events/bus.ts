// The events of a run as CloudEvents 1.0 in JSON (https://github.com/cloudevents/spec), and the bus
// that carries them. Events carry references and numbers, never tensors. A run goes on without a
// bus. What can happen is in kinds.ts.

import { z } from 'zod';
import { eventData, type EventData, type EventType, type TypedEvent } from './kinds.js';

/** A CloudEvent as Lockstep sends it, and as it lies in the run's folder. */
export interface CloudEvent {
  readonly specversion: '1.0';
  /** "<run>/<event id>": unique over all runs; also the JetStream message id. */
  readonly id: string;
  /** "lockstep/<run>" */
  readonly source: string;
  /** "lockstep.<kind>.<name>" */
  readonly type: string;
  /** What it is about: the event's id within the run. */
  readonly subject: string;
  /** ISO 8601, in milliseconds. */
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly data: Readonly<Record<string, unknown>>;
}

/** A checked event: its type without "lockstep.", and its data. */
export type ParsedEvent = TypedEvent & { readonly id: string; readonly time: string };

/** How a bus keeps up. */
export interface BusHealth {
  /** Events that wait to be published. */
  readonly waiting: number;
  /** Events that were given up: the queue was full, or the server refused them for good. */
  readonly dropped: number;
}

export interface EventBus {
  /** Never throws and never waits: events are queued (bounded) and published in order. */
  publish(event: CloudEvent): void;
  /**
   * Waits until the queue is empty or `timeoutMs` is over, less for a bus that has never been
   * there; says how many events are left.
   */
  flush(timeoutMs: number): Promise<number>;
  health(): BusHealth;
  close(): Promise<void>;
}

/** Creates a bus that takes every event and sends none; says so once, at once. */
export function createSilentBus(onNotice: (text: string) => void): EventBus {
  onNotice('no event bus: set LOCKSTEP_NATS_URL to have the run told as events');
  return {
    publish: () => undefined,
    flush: async () => 0,
    health: () => ({ waiting: 0, dropped: 0 }),
    close: async () => undefined,
  };
}

/** All subjects of Lockstep. */
export const subjectsOfAll = 'lockstep.v1.>';

/**
 * Most bytes of an event: a world of as many workers as there may be has room. A NATS server
 * refuses messages above 1 MiB by default.
 */
export const maxEventBytes = 512 * 1024;

/** A run's name as one token of a subject: letters, digits, dashes; anything else is "_". */
function subjectToken(run: string): string {
  return run.replace(/[^A-Za-z0-9_-]/g, '_') || '_';
}

/** The subject of an event of this type: "lockstep.v1.<run>.<kind>". */
export function subjectOf(run: string, type: string): string {
  return `lockstep.v1.${subjectToken(run)}.${kindOfEvent(type)}`;
}

/** All subjects of a run. */
export function subjectsOf(run: string): string {
  return `lockstep.v1.${subjectToken(run)}.>`;
}

/** "step" of "lockstep.step.committed" and of "step.committed". */
export function kindOfEvent(type: string): string {
  return type.replace(/^lockstep\./, '').split('.', 1)[0] ?? '';
}

/**
 * Wraps what happened at `time` (ISO 8601). `id` is unique within the run, and the same whenever
 * the same thing is published again. The data are as a reader gets them: JSON knows no NaN.
 */
export function toCloudEvent<T extends EventType>(
  run: string,
  { type, id, data }: { readonly type: T; readonly id: string; readonly data: EventData<T> },
  time: string,
): CloudEvent {
  return {
    specversion: '1.0',
    id: `${run}/${id}`,
    source: `lockstep/${encodeURIComponent(run)}`,
    type: `lockstep.${type}`,
    subject: id,
    time,
    datacontenttype: 'application/json',
    data: JSON.parse(JSON.stringify(data)) as CloudEvent['data'],
  };
}

const envelope = z.object({
  specversion: z.literal('1.0'),
  id: z.string().min(1).max(1024),
  type: z.string().max(200).startsWith('lockstep.'),
  time: z.iso.datetime(),
  data: z.unknown(),
});

/** Checks a JSON value; undefined for what is no event of Lockstep with the data of its type. */
export function parseCloudEvent(value: unknown): ParsedEvent | undefined {
  const { data: event } = envelope.safeParse(value);
  const type = event?.type.slice('lockstep.'.length) ?? '';
  if (event === undefined || !Object.hasOwn(eventData, type)) return undefined;
  const { success, data } = eventData[type as EventType].safeParse(event.data);
  return success ? ({ type, data, id: event.id, time: event.time } as ParsedEvent) : undefined;
}

/** An event's bytes. Data that would not fit are left out, and `data.omitted` says so. */
export function encodeCloudEvent(event: CloudEvent): Buffer {
  const body = Buffer.from(JSON.stringify(event));
  if (body.length <= maxEventBytes) return body;
  const omitted = `data of ${body.length} bytes; at most ${maxEventBytes} are sent`;
  return Buffer.from(JSON.stringify({ ...event, data: { omitted } }));
}
