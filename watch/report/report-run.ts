// All that a report says of a run, read from the run's folder: its events as picture, series and
// time line, its spec, frames of its fixed faces as far as they fit, and its checkpoints.

import { readManifest, isManifest, listCheckpoints } from '../../shared/checkpoint/read.js';
import { readEvents } from '../../shared/events/event-log.js';
import { readRunRecord } from '../../shared/spec/record.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { frameKey, framePrefix, stepOfFrame } from '../../shared/store/sample-keys.js';
import { ObjectNotFound, type ObjectStore } from '../../shared/store/store.js';
import { createRunHistory, eachOnce } from '../history/history.js';
import type { RunHistory, RunPicture, SeriesData, TimeLine } from '../history/picture.js';

/** A checkpoint that is in the folder. */
export interface ReportedCheckpoint {
  readonly step: number;
  readonly createdAt: string;
  /** Of the parameters. */
  readonly sha256: string;
  readonly fingerprint: string;
  readonly workers: number;
}

/** A run as a report shows it. */
export interface ReportedRun {
  readonly name: string;
  readonly url: string;
  readonly spec: RunSpec;
  readonly createdAt: string;
  readonly picture: RunPicture;
  readonly series: SeriesData;
  readonly timeLine: TimeLine;
  /** PNG files as data: URLs, in the order of steps. */
  readonly frames: readonly { readonly step: number; readonly url: string }[];
  /** In the order of steps. */
  readonly checkpoints: readonly ReportedCheckpoint[];
  /** What has computed it, and which Lockstep has led it; each once. */
  readonly fingerprints: readonly string[];
  readonly versions: readonly string[];
}

/** Points of a curve, frames, and checkpoints of a run at most. */
const [mostPoints, mostFrames, mostCheckpoints] = [2_000, 120, 50];

/** How a run is read. */
export interface ReportReading {
  /** Who has the run's history needn't read its events. */
  readonly history?: RunHistory;
  /** So many files of all have been read. */
  readonly onRead?: (files: number, all: number) => void;
}

/** Reads a run for a report; its frames together have at most `frameBytes` in the report. */
export async function readReportedRun(
  store: ObjectStore,
  frameBytes: number,
  { history: known, onRead = () => undefined }: ReportReading = {},
): Promise<ReportedRun> {
  const record = await readRunRecord(store);
  const saved = (await listCheckpoints(store)).slice(-mostCheckpoints);
  const chosen = chooseFrames(await listFrames(store), frameBytes);
  let [read, all] = [0, saved.length + chosen.length];
  const history = known ?? createRunHistory();
  if (known === undefined) {
    const onSegment = (segments: number, of: number): void => {
      [read, all] = [segments, of + saved.length + chosen.length];
      onRead(read, all);
    };
    for await (const event of readEvents(store, { onSegment })) history.add(event);
  }
  const counted = async <T>(file: Promise<T>): Promise<T> => {
    const content = await file;
    onRead(++read, all);
    return content;
  };
  const checkpoints = await readEach(saved, ({ step }) => counted(readCheckpoint(store, step)));
  const frames = await readEach(chosen, ({ step }) => counted(readFrame(store, step, frameBytes)));
  const { fingerprints, versions } = history.computedBy();
  return {
    ...{ name: record.run, url: store.url, spec: record.spec, createdAt: record.createdAt },
    ...{ picture: history.picture(), series: history.series({ points: mostPoints }) },
    ...{ timeLine: history.timeLine(), frames, checkpoints, versions },
    fingerprints: eachOnce([...fingerprints, ...checkpoints.map((one) => one.fingerprint)]),
  };
}

/** An object store answers late, and many at once. */
const readsAtOnce = 8;

/** What is there of the items, in their order. */
async function readEach<T, R>(
  items: readonly T[],
  read: (item: T) => Promise<R | undefined>,
): Promise<R[]> {
  const found: (R | undefined)[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const place = next++;
      try {
        found[place] = await read(items[place]);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: readsAtOnce }, lane));
  return found.filter((one) => one !== undefined);
}

/** Undefined where it was never finished, or is torn. */
async function readCheckpoint(
  store: ObjectStore,
  step: number,
): Promise<ReportedCheckpoint | undefined> {
  const manifest = await readManifest(store, step);
  if (!isManifest(manifest)) return undefined;
  const { createdAt, parametersSha256: sha256, fingerprint, worldSize: workers } = manifest;
  return { step, createdAt, sha256, fingerprint, workers };
}

interface ListedFrame {
  readonly step: number;
  readonly bytes: number;
}

/** In the order of steps. */
async function listFrames(store: ObjectStore): Promise<ListedFrame[]> {
  const found: ListedFrame[] = [];
  for await (const { key, bytes } of store.list(framePrefix)) {
    const step = stepOfFrame(key);
    if (step !== undefined) found.push({ step, bytes });
  }
  return found.sort((a, b) => a.step - b.step);
}

/**
 * As many frames as fit into so many bytes in base64, evenly spread; the first and the last are
 * among them where there is room for two.
 */
export function chooseFrames<T extends { readonly bytes: number }>(
  frames: readonly T[],
  frameBytes: number,
): readonly T[] {
  for (let count = Math.min(frames.length, mostFrames); count > 0; count--) {
    const apart = count === 1 ? 0 : (frames.length - 1) / (count - 1);
    const chosen = Array.from({ length: count }, (_, i) =>
      count === 1 ? (frames.at(-1) as T) : frames[Math.round(i * apart)],
    );
    if (chosen.reduce((sum, { bytes }) => sum + (4 * bytes) / 3, 0) <= frameBytes) return chosen;
  }
  return [];
}

/** Undefined where it is no PNG any more, or has grown since. */
async function readFrame(
  store: ObjectStore,
  step: number,
  most: number,
): Promise<ReportedRun['frames'][number] | undefined> {
  try {
    const file = await store.get(frameKey(step), { start: 0, end: most + 1 });
    if (file.length > most || file.subarray(1, 4).toString() !== 'PNG') return undefined;
    return { step, url: `data:image/png;base64,${file.toString('base64')}` };
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}
