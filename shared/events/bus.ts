// The event bus: what happened to a run, as CloudEvents 1.0 in JSON
// (https://github.com/cloudevents/spec). Events carry references and numbers, never tensors. A run
// goes on without a bus.

/** The kinds of event, the last token of the NATS subject `lockstep.v1.<run>.<kind>`. */
export type EventKind = 'run' | 'world' | 'step' | 'checkpoint' | 'sample';

/** An event before it is wrapped: `id` is the same whenever the same thing is published again. */
export interface RunEvent {
  readonly kind: EventKind;
  /** What happened, in the past tense: "started", "committed", "formed". */
  readonly name: string;
  /** Unique within the run: "step-00000012-committed"; makes publishing idempotent. */
  readonly id: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface EventBus {
  /** Never throws and never waits: events are queued (bounded) and published in order. */
  publish(event: RunEvent): void;
  /**
   * Waits until the queue is empty or `timeoutMs` is over, less for a bus that has never been
   * there; says how many events are left.
   */
  flush(timeoutMs: number): Promise<number>;
  close(): Promise<void>;
}

/** Creates a bus that takes every event and sends none; says so once, at once. */
export function createSilentBus(onNotice: (text: string) => void): EventBus {
  onNotice('no event bus: set LOCKSTEP_NATS_URL to have the run told as events');
  return { publish: () => undefined, flush: async () => 0, close: async () => undefined };
}

/** A CloudEvent as Lockstep sends it. */
interface CloudEvent {
  readonly specversion: '1.0';
  /** "<run>/<event id>": unique over all runs; also the JetStream message id. */
  readonly id: string;
  /** "lockstep/<run>" */
  readonly source: string;
  /** "lockstep.<kind>.<name>" */
  readonly type: string;
  /** What it is about: the event's id within the run. */
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly data: Readonly<Record<string, unknown>>;
}

/** All subjects of Lockstep. */
export const subjectsOfAll = 'lockstep.v1.>';

/** Most bytes of an event; a NATS server refuses messages above 1 MiB by default. */
export const maxEventBytes = 256 * 1024;

/** A run's name as one token of a subject: letters, digits, dashes; anything else is "_". */
function subjectToken(run: string): string {
  return run.replace(/[^A-Za-z0-9_-]/g, '_') || '_';
}

/** The subject of an event: "lockstep.v1.<run>.<kind>". */
export function subjectOf(run: string, event: Pick<RunEvent, 'kind'>): string {
  return `lockstep.v1.${subjectToken(run)}.${event.kind}`;
}

/** Wraps an event that happened at `time` (ISO 8601). */
export function toCloudEvent(run: string, event: RunEvent, time: string): CloudEvent {
  return {
    specversion: '1.0',
    id: `${run}/${event.id}`,
    source: `lockstep/${encodeURIComponent(run)}`,
    type: `lockstep.${event.kind}.${event.name}`,
    subject: event.id,
    time,
    datacontenttype: 'application/json',
    data: event.data,
  };
}

/** An event's bytes. Data that would not fit are left out, and `data.omitted` says so. */
export function encodeCloudEvent(event: CloudEvent): Buffer {
  const body = Buffer.from(JSON.stringify(event));
  if (body.length <= maxEventBytes) return body;
  const omitted = `data of ${body.length} bytes; at most ${maxEventBytes} are sent`;
  return Buffer.from(JSON.stringify({ ...event, data: { omitted } }));
}
