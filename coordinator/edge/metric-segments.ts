// A run's metrics in its folder: an object store can't append, so the lines since the last
// checkpoint are written with the next one, as a segment of their own.

import type { ObjectStore } from '../../shared/store/store.js';

/** Lines kept until the next checkpoint; beyond, the oldest are dropped. */
const maxLines = 200_000;

export interface MetricSegments {
  /** Keeps a line for the next segment. */
  add(line: object): void;
  /** Writes what was kept as `metrics/<name>.jsonl`, if there is anything. */
  write(name: string): Promise<void>;
}

/** Creates the segments of a run's folder. */
export function createMetricSegments(store: ObjectStore): MetricSegments {
  const lines: string[] = [];
  return {
    add: (line) => {
      lines.push(JSON.stringify(line));
      if (lines.length > maxLines) lines.shift();
    },
    write: async (name) => {
      if (lines.length === 0) return;
      const body = Buffer.from(`${lines.splice(0).join('\n')}\n`);
      await store.put(`metrics/${name}.jsonl`, body, { contentType: 'application/jsonl' });
    },
  };
}
