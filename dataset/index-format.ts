// The index of a packed dataset: which shards there are and where each sample lies in them.
// Shards are WebDataset tar files, `shard-000000.tar`; the index is `index.json`, written last.

import { z } from 'zod';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const offset = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

/** Bytes of the largest picture file that a dataset holds. */
export const maxPictureBytes = 256 * 1024 * 1024;

/** Name of shard `number` under the dataset's url. */
export function shardFile(number: number): string {
  return `shard-${String(number).padStart(6, '0')}.tar`;
}

/** Name of the index object under the dataset's url. */
export const indexKey = 'index.json';

export const sampleSchema = z.strictObject({
  /** Identity of the sample: its path below the packed folder, without the ending. */
  key: z.string().min(1).max(512),
  shard: z.int().min(0).max(1_000_000),
  /** Bytes of the picture file inside the shard. */
  offset,
  bytes: z.int().min(1).max(maxPictureBytes),
  width: z.int().min(1).max(65_535),
  height: z.int().min(1).max(65_535),
});

export const datasetIndexSchema = z.strictObject({
  format: z.literal('lockstep-dataset/1'),
  shards: z
    .array(
      z.strictObject({ file: z.string().regex(/^shard-\d{6,7}\.tar$/), bytes: offset, sha256 }),
    )
    .min(1)
    .max(1_000_000),
  /** In the order of their keys. */
  samples: z.array(sampleSchema).min(1).max(50_000_000),
});

export type DatasetIndex = z.infer<typeof datasetIndexSchema>;
export type DatasetSample = z.infer<typeof sampleSchema>;
