// Shards of a dataset: pictures are collected into WebDataset tar files of about one size, and
// those of a packed dataset are compared with its index. The bytes depend on the pictures alone:
// owner, mode and time are fixed. WebDataset takes a member's name up to the first dot of its last
// part as the sample's key, so dots there (and percent signs, to stay unambiguous) are written as
// %2E (and %25).

import { createHash } from 'node:crypto';
import { pack } from 'tar-stream';
import type { Problem } from '../shared/problems.js';
import { ObjectNotFound, type ByteRange, type ObjectStore } from '../shared/store/store.js';
import type { DatasetIndex, DatasetSample } from './dataset-index.js';
import { PictureError } from './decode.js';
import { mapInOrder } from './map-in-order.js';
import { decodeSample } from './samples.js';

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
const looksAhead = 16;
const decodesAhead = 4;

/** Problems that are given at most. */
const maxProblems = 50;

/** Shards that are looked at before a run; what is wrong with more of them is found when read. */
const maxLooks = 2_000;

type IndexedShard = DatasetIndex['shards'][number];

/** Which shards are missing, or of another length than the index says; reads none of them. */
export async function shardLengthProblems(
  store: ObjectStore,
  { shards }: DatasetIndex,
): Promise<Problem[]> {
  const problems: Problem[] = [];
  const looked = shards.slice(0, maxLooks);
  const look = (shard: IndexedShard) => lengthProblem(store, shard);
  for await (const problem of mapInOrder(looked, looksAhead, look))
    if (problem !== undefined && problems.length < maxProblems) problems.push(problem);
  return problems;
}

async function lengthProblem(store: ObjectStore, shard: IndexedShard) {
  const { file, bytes } = shard;
  const info = await store.head(file);
  if (info?.bytes === bytes) return undefined;
  return { key: file, given: info?.bytes, allowed: `${bytes} bytes, as the index says` };
}

/** The first of what is wrong with shards and samples; empty when all is as the index says. */
export async function verifyDataset(
  store: ObjectStore,
  index: DatasetIndex,
  onProgress: (bytesRead: number) => void = () => undefined,
): Promise<Problem[]> {
  const problems: Problem[] = [];
  const samples = samplesByShard(index);
  let before = 0;
  for (const [i, shard] of index.shards.entries()) {
    const progress = (bytes: number): void => onProgress(before + bytes);
    const found = await verifyShard(store, shard, samples[i] ?? [], progress);
    problems.push(...found.slice(0, maxProblems - problems.length));
    before += shard.bytes;
    onProgress(before);
  }
  return problems;
}

/** The samples of each shard, in the order in which they lie there. */
function samplesByShard({ shards, samples }: DatasetIndex): DatasetSample[][] {
  const lists = shards.map((): DatasetSample[] => []);
  for (const sample of samples) lists[sample.shard]?.push(sample);
  for (const list of lists) list.sort((a, b) => a.offset - b.offset);
  return lists;
}

/** Reads a shard once, in pieces; a piece that ends within a sample is kept for the next. */
async function verifyShard(
  store: ObjectStore,
  shard: IndexedShard,
  samples: readonly DatasetSample[],
  onProgress: (bytesRead: number) => void,
): Promise<Problem[]> {
  const { file, bytes, sha256 } = shard;
  const length = await lengthProblem(store, shard);
  if (length !== undefined) return [length];
  const sum = createHash('sha256');
  const waiting = [...samples];
  const problems: Problem[] = [];
  let kept: { readonly start: number; readonly bytes: Buffer } = { start: 0, bytes: noBytes };
  for (let start = 0; start < bytes; start += pieceBytes) {
    const end = Math.min(bytes, start + pieceBytes);
    const piece = await getOrNothing(store, file, { start, end });
    sum.update(piece);
    kept = { start: kept.start, bytes: Buffer.concat([kept.bytes, piece]) };
    const isWhole = (sample: DatasetSample): boolean => sample.offset + sample.bytes <= end;
    const count = waiting.findIndex((sample) => !isWhole(sample));
    const whole = waiting.splice(0, count < 0 ? waiting.length : count);
    problems.push(...(await sampleProblems(file, whole, kept)));
    const next = Math.min(end, waiting[0]?.offset ?? end);
    kept = { start: next, bytes: Buffer.from(kept.bytes.subarray(next - kept.start)) };
    onProgress(end);
  }
  const given = sum.digest('hex');
  if (given !== sha256) problems.unshift({ key: file, given, allowed: `the sum ${sha256}` });
  return problems;
}

const noBytes = Buffer.alloc(0);

async function sampleProblems(
  file: string,
  samples: readonly DatasetSample[],
  { start, bytes }: { readonly start: number; readonly bytes: Buffer },
): Promise<Problem[]> {
  const check = async (sample: DatasetSample): Promise<Problem | undefined> => {
    const from = sample.offset - start;
    try {
      await decodeSample(bytes.subarray(from, from + sample.bytes), sample);
      return undefined;
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
      const key = `sample ${JSON.stringify(sample.key)} in ${file} at byte ${sample.offset}`;
      return { key, given: error.message, allowed: 'the picture that was packed' };
    }
  };
  const problems: Problem[] = [];
  for await (const problem of mapInOrder(samples, decodesAhead, check))
    if (problem !== undefined) problems.push(problem);
  return problems;
}

/** A shard that goes while it is read has no bytes any more. */
async function getOrNothing(store: ObjectStore, file: string, range: ByteRange): Promise<Buffer> {
  try {
    return await store.get(file, range);
  } catch (error) {
    if (error instanceof ObjectNotFound) return noBytes;
    throw error;
  }
}
