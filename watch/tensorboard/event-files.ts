// A run's event files for TensorBoard, in `tensorboard/` of the run's folder. An object store can't
// append, so each flush is a new file, whose name sorts after those before it. Training never waits
// for them: what can't be written waits, bounded, and what must go for that is said once.

import { atMost, type Clock } from '../../shared/clock.js';
import type { ParsedEvent } from '../../shared/events/bus.js';
import type { EventData, TypedEvent } from '../../shared/events/kinds.js';
import { messageOf } from '../../shared/problems.js';
import type { RunRecord } from '../../shared/spec/record.js';
import { keyFault, type ObjectStore } from '../../shared/store/store.js';
import { encodeRecord, type BoardEvent } from './records.js';
import {
  endSummary,
  evaluationSummary,
  fileVersion,
  restartAt,
  specSummary,
  stepSummary,
} from './summaries.js';

/** Between two files lie 2 % of the run's age, so that a week leaves some hundreds at most. */
const [leastGapMs, shareOfAge, longestGapMs] = [10_000, 0.02, 900_000];

/** At a checkpoint less will do: a run that is killed goes on from there. */
const [leastSavedGapMs, savedShareOfAge] = [60_000, 0.01];

/** A file ends beyond so many bytes, and is written before its time. */
const fileBytes = 8 * 1024 * 1024;

/** Larger pictures are left out. */
const largestPicture = 8 * 1024 * 1024;

/** What waits at most. */
const waitingBytes = 32 * 1024 * 1024;

/** Memory that what waits takes beside its bytes, about. */
const overhead = 200;

export interface TensorBoardOptions {
  readonly store: ObjectStore;
  readonly record: RunRecord;
  /** Of the coordinator that leads: it alone writes files of this number. */
  readonly term: number;
  readonly clock: Pick<Clock, 'after'>;
  readonly onNotice: (text: string) => void;
  readonly waitingBytes?: number;
}

/** Event files that are being written. */
export interface TensorBoardFiles {
  /** Takes an event of the run; never waits. */
  add(event: ParsedEvent | undefined): void;
  /** Writes what waits and ends; gives up after `limitMs`. Never rejects. */
  close(limitMs: number): Promise<void>;
}

/** A record, or an evaluation whose picture is read when it is written. */
type Waiting =
  | { readonly kind: 'record'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'evaluation';
      readonly data: EventData<'sample.written'>;
      readonly wallTime: number;
    };

/** Starts the event files of a term; there is none before the first event. */
export function createTensorBoardFiles(options: TensorBoardOptions): TensorBoardFiles {
  const { store, record, term, clock, onNotice } = options;
  const createdMs = Date.parse(record.createdAt);
  const waiting = createWaitingList(options.waitingBytes ?? waitingBytes);
  let wallTime = createdMs / 1000;
  /** What is being written, or could not be. */
  let file: Uint8Array | undefined;
  let [number, writtenMs] = [1, createdMs];
  let writing: Promise<void> | undefined;
  let forgetTimer: (() => void) | undefined;
  const told = { isAway: false, isFull: false };
  let [hasStepped, isClosed] = [false, false];

  const put = (one: Waiting): void => {
    if (waiting.put(one) || told.isFull) return;
    onNotice('TensorBoard files wait for the store: the oldest are dropped');
    told.isFull = true;
  };
  const compose = async (): Promise<Uint8Array> => {
    const records = [encodeRecord(fileVersion(wallTime))];
    if (number === 1) records.push(encodeRecord(specSummary(record.spec, record.run, wallTime)));
    let size = 0;
    for (let one = waiting.take(); one !== undefined;) {
      const encoded = one.kind === 'record' ? one.bytes : await withPicture(store, one);
      size += encoded.length;
      records.push(encoded);
      one = size < fileBytes ? waiting.take() : undefined;
    }
    return Buffer.concat(records);
  };
  const write = async (): Promise<void> => {
    writtenMs = 1000 * wallTime;
    forgetTimer?.();
    forgetTimer = undefined;
    try {
      do {
        file ??= await compose();
        await store.put(eventFileKey(term, number), file);
        file = undefined;
        number += 1;
        Object.assign(told, { isAway: false, isFull: false });
      } while (waiting.bytes >= fileBytes || (isClosed && waiting.length > 0));
    } catch (error) {
      if (!told.isAway) onNotice(`TensorBoard files can't be written: ${messageOf(error)}`);
      told.isAway = true;
    }
    writing = undefined;
    if (waiting.length > 0 || file !== undefined) schedule();
  };
  const schedule = (isDue = false): void => {
    if (isClosed || writing !== undefined) return;
    if ((waiting.bytes >= fileBytes || isDue) && !told.isAway) writing = write();
    else
      forgetTimer ??= clock.after(gapMs(1000 * wallTime - createdMs), () => {
        writing = write();
      });
  };
  return {
    add: (event) => {
      if (event === undefined || isClosed) return;
      wallTime = Date.parse(event.time) / 1000;
      toWaiting(record, event, wallTime, hasStepped).forEach(put);
      hasStepped ||= event.type === 'step.committed';
      if (waiting.length > 0) schedule(isDueWith(event, createdMs, writtenMs));
    },
    close: async (limitMs) => {
      isClosed = true;
      if (waiting.length > 0 || file !== undefined) writing ??= write();
      await atMost(limitMs, writing ?? Promise.resolve());
    },
  };
}

interface WaitingList {
  readonly length: number;
  readonly bytes: number;
  /** False: half of what waited, the oldest, had to go for it. */
  put(one: Waiting): boolean;
  take(): Waiting | undefined;
}

function createWaitingList(limit: number): WaitingList {
  const list: Waiting[] = [];
  let bytes = 0;
  const take = (): Waiting | undefined => {
    const one = list.shift();
    if (one !== undefined) bytes -= sizeOf(one);
    return one;
  };
  return {
    get length() {
      return list.length;
    },
    get bytes() {
      return bytes;
    },
    take,
    put: (one) => {
      list.push(one);
      bytes += sizeOf(one);
      if (bytes <= limit) return true;
      while (bytes > limit / 2) take();
      return false;
    },
  };
}

/** "tensorboard/events.out.tfevents.00000003.000017": in the order in which they are read. */
export function eventFileKey(term: number, number: number): string {
  const [ofTerm, ofFile] = [String(term).padStart(8, '0'), String(number).padStart(6, '0')];
  return `tensorboard/events.out.tfevents.${ofTerm}.${ofFile}`;
}

function gapMs(ageMs: number): number {
  return Math.min(longestGapMs, Math.max(leastGapMs, shareOfAge * ageMs));
}

/** Whether the next file need not wait any longer. */
function isDueWith({ type, time }: ParsedEvent, createdMs: number, writtenMs: number): boolean {
  const timeMs = Date.parse(time);
  const gap = Math.max(leastSavedGapMs, savedShareOfAge * (timeMs - createdMs));
  return type === 'checkpoint.committed' && timeMs - writtenMs >= gap;
}

function sizeOf(one: Waiting): number {
  return overhead + (one.kind === 'record' ? one.bytes.length : 0);
}

/** What is to be written of an event. */
function toWaiting(
  { spec }: RunRecord,
  event: TypedEvent,
  wallTime: number,
  hasStepped: boolean,
): Waiting[] {
  const records = (...events: readonly (BoardEvent | undefined)[]): Waiting[] =>
    events
      .filter((one) => one !== undefined)
      .map((one) => ({ kind: 'record', bytes: encodeRecord(one) }));
  switch (event.type) {
    case 'step.committed': {
      // Another coordinator may have written this step, and later ones.
      const restart = hasStepped ? undefined : restartAt(event.data.step, wallTime);
      return records(restart, stepSummary(spec, event.data, wallTime));
    }
    case 'world.rolledBack':
      return records(restartAt(event.data.step + 1, wallTime));
    case 'sample.written':
      return [{ kind: 'evaluation', data: event.data, wallTime }];
    case 'run.finished':
      return records(endSummary(wallTime));
    default:
      return [];
  }
}

/** The record of an evaluation; without a picture where that can't be read. */
async function withPicture(
  store: ObjectStore,
  { data, wallTime }: Waiting & { readonly kind: 'evaluation' },
): Promise<Uint8Array> {
  const png = await readPicture(store, data.sample_key);
  return encodeRecord(evaluationSummary(data, png, wallTime));
}

async function readPicture(store: ObjectStore, key: string): Promise<Uint8Array | undefined> {
  if (keyFault(key) !== undefined || !key.startsWith('samples/')) return undefined;
  try {
    const png = await store.get(key, { start: 0, end: largestPicture + 1 });
    return png.length > largestPicture ? undefined : png;
  } catch {
    return undefined;
  }
}
