// Shards of a dataset: pictures are collected into WebDataset tar files of about one size, and
// those of a packed dataset are compared with its index. The bytes depend on the pictures alone:
// owner, mode and time are fixed. WebDataset takes a member's name up to the first dot of its last
// part as the sample's key, so dots there (and percent signs, to stay unambiguous) are written as
// %2E (and %25).

import { createHash } from 'node:crypto';
import { pack } from 'tar-stream';
import type { Problem } from '../shared/problems.js';
import { ObjectNotFound, type ObjectStore } from '../shared/store/store.js';
import type { DatasetIndex } from './dataset-index.js';

const blockBytes = 512;
const endOfTar = Buffer.alloc(2 * blockBytes);

/** A shard that is full, or the last one. */
export interface Shard {
  readonly number: number;
  readonly body: Buffer;
}

/** Where a picture file lies. */
interface Placement {
  readonly shard: number;
  readonly offset: number;
}

interface ShardWriter {
  /** Adds a file; `full` is the shard before it, when this one opens the next. */
  add(key: string, ending: string, body: Buffer): Promise<Placement & { full: Shard | undefined }>;
  /** The shard that was being filled; undefined when it is empty. */
  finish(): Shard | undefined;
}

/** Creates a writer of shards of at most `shardBytes`, or of one picture that alone is larger. */
export function createShardWriter(shardBytes: number): ShardWriter {
  let number = 0;
  let parts: Buffer[] = [];
  let bytes = 0;
  const finish = (): Shard | undefined => {
    if (parts.length === 0) return undefined;
    const shard = { number, body: Buffer.concat([...parts, endOfTar]) };
    [number, parts, bytes] = [number + 1, [], 0];
    return shard;
  };
  return {
    finish,
    async add(key, ending, body) {
      const member = await tarMember(`${memberName(key)}.${ending}`, body);
      const isOver = bytes + member.length + endOfTar.length > shardBytes;
      const full = isOver ? finish() : undefined;
      const padded = Math.ceil(body.length / blockBytes) * blockBytes;
      const offset = bytes + member.length - padded;
      parts.push(member);
      bytes += member.length;
      return { shard: number, offset, full };
    },
  };
}

/** The key as the name of a tar member. */
function memberName(key: string): string {
  const cut = key.lastIndexOf('/') + 1;
  const last = key.slice(cut).replaceAll('%', '%25').replaceAll('.', '%2E');
  return key.slice(0, cut) + last;
}

/** One member (its headers, its bytes, padding), without the blocks that end an archive. */
async function tarMember(name: string, body: Buffer): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name, mtime: new Date(0), uid: 0, gid: 0, mode: 0o644, type: 'file' }, body);
  archive.finalize();
  const parts: Buffer[] = [];
  for await (const part of archive as AsyncIterable<Buffer>) parts.push(part);
  const bytes = Buffer.concat(parts);
  return bytes.subarray(0, bytes.length - endOfTar.length);
}

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
