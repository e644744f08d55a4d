// The events of a run in its folder: JSON lines in segments, which a leader puts again, grown, as
// an object store can't append. Nothing waits for the store: what it does not take waits, bounded.
// The names carry the term, so that two leaders never write to the same segment.

import { setTimeout as pause } from 'node:timers/promises';
import { parseJson } from '../bounded-json.js';
import { atMost } from '../clock.js';
import { messageOf } from '../problems.js';
import type { ObjectInfo, ObjectStore } from '../store/store.js';
import {
  encodeCloudEvent,
  kindOfEvent,
  maxEventBytes,
  parseCloudEvent,
  type CloudEvent,
  type ParsedEvent,
} from './bus.js';
import {
  createEventQueue,
  type EventQueue,
  type QueueLimits,
  type WaitingEvent,
} from './event-queue.js';

export interface EventLog {
  /** Keeps the event; it is in the folder some seconds later. Never throws and never waits. */
  add(event: CloudEvent): void;
  /** Writes what waits, until it is written or the time is over; says how much is left. */
  flush(timeoutMs: number): Promise<number>;
  /** Ends its timer; what has not been flushed is lost. */
  close(): Promise<void>;
}

export interface EventLogOptions {
  /** Of the leader that writes: its segments are its own. */
  readonly term: number;
  readonly onNotice: (text: string) => void;
  /** How often new events are written. */
  readonly everyMs?: number;
  /** A segment that is as long is followed by another. */
  readonly segmentBytes?: number;
  /** Of the events that wait for the store. */
  readonly limits?: QueueLimits;
}

const writeEveryMs = 5_000;

/** How soon a flush tries again. */
const retryMs = 50;

const fullSegmentBytes = 512 * 1024;

/** Hours of steps, and a fair share of memory. */
const waitingLimits: QueueLimits = { events: 50_000, bytes: 32 * 1024 * 1024 };

/**
 * What a reader should not have to wait for: what follows a checkpoint may be killed, and no later
 * coordinator tells of a world that goes on.
 */
const urgentTypes =
  /^lockstep\.(checkpoint|world\.(formed|lost|rolledBack)|run\.(started|finished|stopped|failed))/;

/** A log that writes `events/term-000003-000001.jsonl` and so on. */
export function createEventLog(
  store: Pick<ObjectStore, 'put'>,
  options: EventLogOptions,
): EventLog {
  const { onNotice, everyMs = writeEveryMs, segmentBytes = fullSegmentBytes } = options;
  const queue = createEventQueue<WaitingEvent>(options.limits ?? waitingLimits);
  const segments = createSegments(store, options.term, segmentBytes);
  let writing: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  let isAway = false;
  let dropped = 0;

  const reportBack = (): void => {
    if (isAway || dropped > 0)
      onNotice(`the run's folder takes events again; ${dropped} were dropped`);
    [isAway, dropped] = [false, 0];
  };
  const writeAll = async (): Promise<void> => {
    try {
      while (queue.length > 0) {
        await segments.grow(queue);
        reportBack();
      }
    } catch (error) {
      if (!isAway)
        onNotice(`events can't be written to the run's folder: ${reasonOf(error)}; they wait`);
      isAway = true;
    }
  };
  const write = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    writing ??= writeAll().finally(() => {
      writing = undefined;
      if (queue.length > 0) writeSoon();
    });
    return writing;
  };
  const writeSoon = (): void => {
    if (isClosed || timer !== undefined || writing !== undefined) return;
    timer = setTimeout(() => void write(), everyMs);
    timer.unref();
  };
  return {
    add: (event) => {
      if (isClosed) return;
      const body = Buffer.concat([encodeCloudEvent(event), newLine]);
      const lost = queue.push({ kind: kindOfEvent(event.type), body });
      const isFirst = dropped === 0;
      dropped += lost.length;
      if (lost.length > 0 && isFirst)
        onNotice("events wait for the run's folder: the oldest step events are dropped");
      if (urgentTypes.test(event.type) && !isAway) void write();
      else writeSoon();
    },
    flush: async (timeoutMs) => {
      const endMs = performance.now() + timeoutMs;
      while (queue.length > 0 && performance.now() < endMs) {
        await atMost(endMs - performance.now(), write());
        if (isAway) await pause(retryMs);
      }
      return queue.length;
    },
    close: async () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** The segments of a term; one that is full is not put again. */
function createSegments(
  store: Pick<ObjectStore, 'put'>,
  term: number,
  segmentBytes: number,
): { grow(queue: EventQueue<WaitingEvent>): Promise<void> } {
  let number = 1;
  /** What the store has of it. */
  let stored = Buffer.alloc(0);
  return {
    grow: async (queue) => {
      const length = stored.length + (queue.first()?.body.length ?? 0);
      if (stored.length > 0 && length > segmentBytes) {
        number += 1;
        stored = Buffer.alloc(0);
      }
      // A put that failed may be done all the same: the next one has the same events, and more.
      const events = queue.oldest(segmentBytes - stored.length);
      const body = Buffer.concat([stored, ...events.map((event) => event.body)]);
      await store.put(segmentKey(term, number), body, { contentType: 'application/jsonl' });
      stored = body;
      queue.taken(events.length);
    },
  };
}

/** In one line; what an operator could do about it is no matter of a notice. */
function reasonOf(error: unknown): string {
  return messageOf(error).split('\n', 1)[0] ?? '';
}

const newLine = Buffer.from('\n');
const prefix = 'events/';

function segmentKey(term: number, number: number): string {
  return `${prefix}term-${pad6(term)}-${pad6(number)}.jsonl`;
}

function pad6(number: number): string {
  return String(number).padStart(6, '0');
}

/** Of a segment's key; undefined for a file that is none. */
function placeOf(key: string): { readonly term: number; readonly number: number } | undefined {
  const match = /^events\/term-(\d{6,10})-(\d{6,12})\.jsonl$/.exec(key);
  return match === null ? undefined : { term: Number(match[1]), number: Number(match[2]) };
}

/** Longest line that is looked at, and most bytes of a segment: a stranger may have written it. */
const longestLine = 2 * maxEventBytes;
const longestSegment = 4 * fullSegmentBytes;

/** As much of a run's events as is read at most: more than a million steps. */
const mostBytes = 1024 ** 3;

type ReadableStore = Pick<ObjectStore, 'get' | 'list'>;

/** How many bytes of each segment were read, by its key. */
type Places = Map<string, number>;

/** How events are read. */
export interface EventReading {
  /** Of more, the oldest are left out. */
  readonly maxBytes?: number;
  /** So many segments of all have been read; called before each, and at the end. */
  readonly onSegment?: (segments: number, all: number) => void;
}

/** The events in a run's folder, in the order of terms and segments; what is none is left out. */
export async function* readEvents(
  store: ReadableStore,
  { maxBytes = mostBytes, onSegment }: EventReading = {},
): AsyncIterable<ParsedEvent> {
  const chosen = await listSegments(store, maxBytes);
  for (const [i, segment] of chosen.entries()) {
    onSegment?.(i, chosen.length);
    yield* readGrown(store, segment, new Map());
  }
  onSegment?.(chosen.length, chosen.length);
}

export interface FollowOptions {
  readonly signal: AbortSignal;
  readonly everyMs?: number;
  /** Of more the oldest are left out. */
  readonly maxBytes?: number;
  /** All that was there has been read; called after each look. */
  readonly onCaughtUp?: () => void;
  /** A later look failed, and will be tried again: why, once for each absence. */
  readonly onNotice?: (text: string) => void;
}

const followEveryMs = 2_000;

/**
 * The events that are there, and then those that follow, until `signal`; reads what has grown.
 * Rejects when the first look fails: the folder may never have been there.
 */
export async function* followEvents(
  store: ReadableStore,
  options: FollowOptions,
): AsyncIterable<ParsedEvent> {
  const { signal, everyMs = followEveryMs, maxBytes = mostBytes, onCaughtUp, onNotice } = options;
  const places: Places = new Map();
  let isFirst = true;
  let isAway = false;
  while (!signal.aborted) {
    try {
      for (const segment of await listSegments(store, maxBytes)) {
        yield* readGrown(store, segment, places);
        if (signal.aborted) return;
      }
      [isFirst, isAway] = [false, false];
      onCaughtUp?.();
    } catch (error) {
      if (signal.aborted) return;
      if (isFirst) throw error;
      if (!isAway) onNotice?.(`the run's folder can't be read: ${reasonOf(error)}`);
      isAway = true;
    }
    await pause(everyMs, undefined, { signal, ref: true }).catch(() => undefined);
  }
}

/** The segments in their order; of more than `maxBytes` the newest. */
async function listSegments(store: ReadableStore, maxBytes: number): Promise<ObjectInfo[]> {
  const found: { readonly info: ObjectInfo; readonly place: NonNullable<Place> }[] = [];
  for await (const info of store.list(prefix)) {
    const place = placeOf(info.key);
    if (place !== undefined) found.push({ info, place });
  }
  found.sort((a, b) => a.place.term - b.place.term || a.place.number - b.place.number);
  let left = maxBytes;
  const newest = found.findLastIndex(({ info: { bytes } }) => (left -= bytes) < 0) + 1;
  return found.slice(newest).map(({ info }) => info);
}

type Place = ReturnType<typeof placeOf>;

/** The whole lines behind what was read of a segment. */
async function* readGrown(
  store: ReadableStore,
  { key, bytes }: ObjectInfo,
  places: Places,
): AsyncIterable<ParsedEvent> {
  const start = places.get(key) ?? 0;
  const end = Math.min(bytes, longestSegment);
  if (end <= start) return;
  const body = await store.get(key, { start, end });
  const length = body.lastIndexOf(0x0a) + 1;
  places.set(key, start + length);
  for (const event of eventsIn(body.subarray(0, length))) yield event;
}

function* eventsIn(lines: Buffer): Iterable<ParsedEvent> {
  for (let start = 0; start < lines.length;) {
    const end = lines.indexOf(0x0a, start);
    const event =
      end - start <= longestLine ? eventOf(lines.toString('utf8', start, end)) : undefined;
    if (event !== undefined) yield event;
    start = end + 1;
  }
}

function eventOf(line: string): ParsedEvent | undefined {
  try {
    return parseCloudEvent(parseJson(line));
  } catch {
    return undefined;
  }
}
