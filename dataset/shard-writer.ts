// Collects picture files into WebDataset tar shards of about one size. The bytes depend on the
// pictures alone: owner, mode and time are fixed. Holds one shard in memory; does no I/O.
// WebDataset takes a member's name up to the first dot of its last part as the sample's key, so
// dots there (and percent signs, to stay unambiguous) are written as %2E (and %25).

import { pack } from 'tar-stream';

const blockBytes = 512;
const endOfTar = Buffer.alloc(2 * blockBytes);

/** A shard that is full, or the last one. */
export interface Shard {
  readonly number: number;
  readonly body: Buffer;
}

/** Where a picture file lies. */
export interface Placement {
  readonly shard: number;
  readonly offset: number;
}

export interface ShardWriter {
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
export function memberName(key: string): string {
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
