// A run's metrics in its folder: an object store can't append, so the lines since the last
// checkpoint are written with the next one, as a segment of their own. While the store is away
// they wait, and nothing waits for them.

import { atMost } from '../../shared/clock.js';
import { messageOf } from '../../shared/problems.js';
import { PreconditionFailed, type ObjectStore } from '../../shared/store/store.js';

/** Lines kept until they are written; beyond, the oldest are dropped. */
const maxLines = 200_000;

/** Longest wait for a segment to be written; it goes on meanwhile. */
const writeWaitMs = 5_000;

/** Segments of one name: another coordinator may have written the first. */
const maxOfName = 100;

export interface MetricSegments {
  /** Keeps a line for the next segment. */
  add(line: object): void;
  /**
   * Begins to write what was kept as `metrics/<name>.jsonl`, if there is anything. Never rejects;
   * resolves when all is written or could not be, or after a few seconds. What could not be is
   * written with the next segment.
   */
  write(name: string): Promise<void>;
}

export interface SegmentOptions {
  readonly onNotice?: (text: string) => void;
  readonly maxLines?: number;
  readonly writeWaitMs?: number;
}

/** Metrics of a run, stored in segments from one checkpoint to the next. */
export function createMetricSegments(
  store: ObjectStore,
  options: SegmentOptions = {},
): MetricSegments {
  const onNotice = options.onNotice ?? (() => undefined);
  const limit = options.maxLines ?? maxLines;
  let lines: string[] = [];
  /** Lines that are being written at this moment. */
  let leaving: readonly string[] = [];
  let writing: Promise<void> = Promise.resolve();
  let isWriting = false;
  /** The segment that was asked for last. */
  let wanted = '';
  let dropped = 0;

  const makeRoom = (): void => {
    const excess = lines.length + leaving.length - limit;
    if (excess <= 0) return;
    lines.splice(0, excess);
    if (dropped === 0) onNotice('metrics wait for the object store: the oldest lines are dropped');
    dropped += excess;
  };
  const writeAll = async (): Promise<void> => {
    while (lines.length > 0 && wanted !== '') {
      const name = wanted;
      wanted = '';
      leaving = lines;
      lines = [];
      try {
        await putSegment(store, name, leaving);
        if (dropped > 0) onNotice(`metrics are written again; ${dropped} lines were dropped`);
        dropped = 0;
      } catch (error) {
        lines = [...leaving, ...lines];
        const reason = messageOf(error);
        onNotice(`metrics can't be written: ${reason}; they follow with the next checkpoint`);
      }
      leaving = [];
      makeRoom();
    }
    isWriting = false;
  };
  return {
    add: (line) => {
      lines.push(JSON.stringify(line));
      makeRoom();
    },
    write: async (name) => {
      wanted = name;
      if (!isWriting) {
        isWriting = true;
        writing = writeAll();
      }
      await atMost(options.writeWaitMs ?? writeWaitMs, writing);
    },
  };
}

/** Never over another segment: a run that is resumed may come by the same step again. */
async function putSegment(
  store: ObjectStore,
  name: string,
  lines: readonly string[],
): Promise<void> {
  const body = Buffer.from(`${lines.join('\n')}\n`);
  for (let number = 1; ; number++) {
    const key = number === 1 ? `metrics/${name}.jsonl` : `metrics/${name}-${number}.jsonl`;
    try {
      await store.put(key, body, { ifAbsent: true, contentType: 'application/jsonl' });
      return;
    } catch (error) {
      if (!(error instanceof PreconditionFailed) || number === maxOfName) throw error;
    }
  }
}
