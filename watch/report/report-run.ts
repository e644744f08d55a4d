// All that a report says of a run, read from the run's folder: its events as picture, series and
// time line, its spec, frames of its fixed faces as far as they fit, and its checkpoints.

import { readManifest, isManifest, listCheckpoints } from '../../shared/checkpoint/read.js';
import { readEvents } from '../../shared/events/event-log.js';
import { readRunRecord } from '../../shared/spec/record.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { frameKey, framePrefix, stepOfFrame } from '../../shared/store/sample-keys.js';
import { ObjectNotFound, type ObjectStore } from '../../shared/store/store.js';
import { createRunHistory } from '../history/history.js';
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

/** What a coordinator knows without reading events: the history, and its own version. */
export interface LedRunHistory {
  readonly history: RunHistory;
  readonly version: string;
}

/** Reads a run for a report; its frames together have at most `frameBytes` in the report. */
export async function readReportedRun(
  store: ObjectStore,
  frameBytes: number,
  led?: LedRunHistory,
): Promise<ReportedRun> {
  const record = await readRunRecord(store);
  const history = led?.history ?? createRunHistory();
  const [fingerprints, versions] = [new Set<string>(), new Set([led?.version ?? ''])];
  if (led === undefined)
    for await (const event of readEvents(store)) {
      history.add(event);
      if (event.type === 'world.formed') fingerprints.add(event.data.fingerprint);
      if (event.type === 'run.started') versions.add(event.data.lockstep ?? '');
    }
  fingerprints.add(history.picture().fingerprint);
  const checkpoints = await readCheckpoints(store);
  for (const { fingerprint } of checkpoints) fingerprints.add(fingerprint);
  return {
    ...{ name: record.run, url: store.url, spec: record.spec, createdAt: record.createdAt },
    ...{ picture: history.picture(), series: history.series({ points: mostPoints }) },
    ...{ timeLine: history.timeLine(), frames: await readFrames(store, frameBytes), checkpoints },
    ...{ fingerprints: known(fingerprints), versions: known(versions) },
  };
}

function known(names: ReadonlySet<string>): string[] {
  return [...names].filter((name) => name !== '').sort();
}

async function readCheckpoints(store: ObjectStore): Promise<ReportedCheckpoint[]> {
  const checkpoints: ReportedCheckpoint[] = [];
  for (const { step } of (await listCheckpoints(store)).slice(-mostCheckpoints)) {
    const manifest = await readManifest(store, step);
    if (!isManifest(manifest)) continue;
    const { createdAt, parametersSha256: sha256, fingerprint, worldSize: workers } = manifest;
    checkpoints.push({ step, createdAt, sha256, fingerprint, workers });
  }
  return checkpoints;
}

async function readFrames(store: ObjectStore, frameBytes: number): Promise<ReportedRun['frames']> {
  const found: { readonly step: number; readonly bytes: number }[] = [];
  for await (const { key, bytes } of store.list(framePrefix)) {
    const step = stepOfFrame(key);
    if (step !== undefined) found.push({ step, bytes });
  }
  found.sort((a, b) => a.step - b.step);
  const frames: { step: number; url: string }[] = [];
  for (const { step } of chooseFrames(found, frameBytes)) {
    const file = await readFrame(store, frameKey(step), frameBytes);
    if (file === undefined) continue;
    frames.push({ step, url: `data:image/png;base64,${file.toString('base64')}` });
  }
  return frames;
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
  key: string,
  most: number,
): Promise<Buffer | undefined> {
  try {
    const file = await store.get(key, { start: 0, end: most + 1 });
    return file.length <= most && file.subarray(1, 4).toString() === 'PNG' ? file : undefined;
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}
