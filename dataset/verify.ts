// Whether a packed dataset is whole: reads every shard and compares sizes and sums with the
// index (which itself is checked when it is read).

import { createHash } from 'node:crypto';
import type { Problem } from '../shared/problems.js';
import { ObjectNotFound, type ObjectStore } from '../shared/store/store.js';
import type { DatasetIndex } from './index-format.js';

const pieceBytes = 8 * 1024 * 1024;

/** What is wrong with the shards; empty when they are all as the index says. */
export async function verifyShards(
  store: ObjectStore,
  index: DatasetIndex,
  onProgress: (bytesRead: number) => void = () => undefined,
): Promise<Problem[]> {
  const problems: Problem[] = [];
  let read = 0;
  for (const shard of index.shards) {
    const before = read;
    const problem = await verifyShard(store, shard, (bytes) => onProgress(before + bytes));
    if (problem !== undefined) problems.push(problem);
    read += shard.bytes;
    onProgress(read);
  }
  return problems;
}

async function verifyShard(
  store: ObjectStore,
  { file, bytes, sha256 }: DatasetIndex['shards'][number],
  onProgress: (bytesRead: number) => void,
): Promise<Problem | undefined> {
  const info = await store.head(file);
  if (info?.bytes !== bytes) return { key: file, given: info?.bytes, allowed: `${bytes} bytes` };
  const hash = createHash('sha256');
  try {
    for (let start = 0; start < bytes; start += pieceBytes) {
      const end = Math.min(bytes, start + pieceBytes);
      hash.update(await store.get(file, { start, end }));
      onProgress(end);
    }
  } catch (error) {
    if (error instanceof ObjectNotFound)
      return { key: file, given: undefined, allowed: `${bytes} bytes` };
    throw error;
  }
  const sum = hash.digest('hex');
  return sum === sha256 ? undefined : { key: file, given: sum, allowed: `the sum ${sha256}` };
}
