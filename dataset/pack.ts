// Packs pictures into a dataset: every picture is decoded once to see that it can be, good files
// go unchanged into shards, and the index comes last, so that a dataset with an index is whole.

import { availableParallelism } from 'node:os';
import { OperatorError, type Problem } from '../shared/problems.js';
import { sha256Of } from '../shared/sha256.js';
import { PreconditionFailed, type ObjectStore } from '../shared/store/store.js';
import { checkPicture, chooseCandidates, type Candidate, type Checked } from './candidates.js';
import {
  indexKey,
  maxIndexBytes,
  shardFile,
  type DatasetIndex,
  type DatasetSample,
  formatIndex,
} from './dataset-index.js';
import { mapInOrder } from './map-in-order.js';
import type { PictureSource, Skipped } from './picture-source.js';
import { heldOutShares, type HeldOut } from './samples.js';
import { createShardWriter, type Shard } from './shards.js';

const maxConcurrentChecks = 4;
const maxProblems = 50;
const shardName = /^shard-\d{6,7}\.tar$/;

export interface PackOptions {
  readonly source: PictureSource;
  readonly target: ObjectStore;
  /** Shortest side that a picture may have, in pixels. */
  readonly minSize: number;
  /** Size of a shard in MiB, about. */
  readonly shardMib: number;
  /** Refuse, before anything is written, if any file would be skipped. */
  readonly strict: boolean;
  /** Replace what is at the target. */
  readonly force: boolean;
  /** Called after each picture looked at; `skipped` counts the files left out so far. */
  readonly onProgress?: (progress: PackProgress) => void;
}

export interface PackProgress {
  readonly phase: 'checking' | 'packing';
  readonly done: number;
  readonly total: number;
  readonly skipped: number;
}

export interface PackResult {
  readonly samples: number;
  readonly skipped: readonly Skipped[];
  readonly shards: number;
  /** Bytes of all shards. */
  readonly bytes: number;
  readonly indexSha256: string;
  /** Pictures whose bytes are those of an earlier one; they are packed all the same. */
  readonly duplicates: readonly Duplicate[];
  /** How many a run would hold out. */
  readonly heldOut: readonly HeldOut[];
}

/** Keys of two samples. */
interface Duplicate {
  readonly key: string;
  readonly first: string;
}

/**
 * Packs a source into `target`. The same pictures give the same bytes. Throws `OperatorError`
 * when the target is taken, when no picture is left, or (strict) when a file would be skipped.
 */
export async function packDataset(options: PackOptions): Promise<PackResult> {
  if (!options.force) await refuseTaken(options.target);
  const { candidates, skipped } = chooseCandidates(await options.source.list());
  if (options.strict) refuseSkipped(await checkAll(options, candidates, skipped));
  const writer = createDatasetWriter(options);
  const left = [...skipped];
  for await (const checked of checks(options, 'packing', candidates, left)) {
    if (checked.kind === 'picture') await writer.add(checked);
  }
  if (options.strict) refuseSkipped(left);
  if (writer.isEmpty()) throw nothingLeft(options.source.url, left);
  return { ...(await writer.finish()), skipped: sortSkipped(left) };
}

async function refuseTaken(target: ObjectStore): Promise<void> {
  const found = (await target.head(indexKey))?.key ?? (await firstShard(target));
  if (found === undefined) return;
  throw new OperatorError('There is a dataset already:', [
    {
      key: 'URL',
      given: target.url,
      allowed: 'a folder without a dataset',
      hint: `it holds ${found}; --force replaces it`,
    },
  ]);
}

async function firstShard(target: ObjectStore): Promise<string | undefined> {
  for await (const { key } of target.list('shard-')) if (shardName.test(key)) return key;
  return undefined;
}

/** The checks of all candidates, in order; those left out are added to `skipped`. */
async function* checks(
  { source, minSize, onProgress }: PackOptions,
  phase: PackProgress['phase'],
  candidates: readonly Candidate[],
  skipped: Skipped[],
): AsyncGenerator<Checked, void, undefined> {
  const limit = Math.min(maxConcurrentChecks, availableParallelism());
  const check = (candidate: Candidate): Promise<Checked> =>
    checkPicture(source, candidate, minSize);
  let done = 0;
  for await (const checked of mapInOrder(candidates, limit, check)) {
    if (checked.kind === 'skipped') skipped.push({ file: checked.file, reason: checked.reason });
    yield checked;
    done++;
    onProgress?.({ phase, done, total: candidates.length, skipped: skipped.length });
  }
}

async function checkAll(
  options: PackOptions,
  candidates: readonly Candidate[],
  skipped: readonly Skipped[],
): Promise<Skipped[]> {
  const left = [...skipped];
  const checking = checks(options, 'checking', candidates, left);
  while (!(await checking.next()).done);
  return left;
}

function refuseSkipped(skipped: readonly Skipped[]): void {
  if (skipped.length === 0) return;
  throw new OperatorError(
    `${skipped.length} files can't be packed, and --strict allows none to be skipped:`,
    skippedProblems(skipped),
  );
}

function nothingLeft(url: string, skipped: readonly Skipped[]): OperatorError {
  return new OperatorError('There is no picture to pack:', [
    { key: 'DIR', given: url, allowed: 'a folder with at least one picture that can be decoded' },
    ...skippedProblems(skipped),
  ]);
}

function skippedProblems(skipped: readonly Skipped[]): Problem[] {
  return sortSkipped(skipped)
    .slice(0, maxProblems)
    .map(({ file, reason }) => ({
      key: JSON.stringify(file),
      given: reason,
      allowed: 'a whole picture',
    }));
}

function sortSkipped(skipped: readonly Skipped[]): Skipped[] {
  return [...skipped].sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0));
}

interface DatasetWriter {
  add(picture: Extract<Checked, { kind: 'picture' }>): Promise<void>;
  isEmpty(): boolean;
  finish(): Promise<Omit<PackResult, 'skipped'>>;
}

/** Writes shards as they fill, and the index at the end. */
function createDatasetWriter({ target, shardMib, force }: PackOptions): DatasetWriter {
  const writer = createShardWriter(shardMib * 1024 * 1024);
  const samples: DatasetSample[] = [];
  const shards: DatasetIndex['shards'] = [];
  const put = async ({ number, body }: Shard): Promise<void> => {
    // From the first overwritten shard on, an old index would lie.
    if (number === 0 && force) await target.delete(indexKey);
    const file = shardFile(number);
    await target.put(file, body, { contentType: 'application/x-tar' });
    shards.push({ file, bytes: body.length, sha256: sha256Of(body) });
  };
  return {
    isEmpty: () => samples.length === 0,
    async add({ candidate: { key, ending }, body, size }) {
      const { shard, offset, full } = await writer.add(key, ending, body);
      if (full !== undefined) await put(full);
      samples.push({ key, shard, offset, bytes: body.length, ...size, sha256: sha256Of(body) });
    },
    async finish() {
      const last = writer.finish();
      if (last !== undefined) await put(last);
      await deleteLeftovers(target, shards.length);
      const index = formatIndex({ format: 'lockstep-dataset/2', shards, samples });
      await putIndex(target, index, force);
      const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
      return {
        ...{ samples: samples.length, shards: shards.length, bytes, indexSha256: sha256Of(index) },
        ...{ duplicates: duplicatesOf(samples), heldOut: heldOutShares(samples) },
      };
    },
  };
}

function duplicatesOf(samples: readonly DatasetSample[]): Duplicate[] {
  const firsts = new Map<string | undefined, string>();
  return samples.flatMap(({ key, sha256 }) => {
    const first = firsts.get(sha256);
    if (first === undefined) firsts.set(sha256, key);
    return first === undefined ? [] : [{ key, first }];
  });
}

/** Deletes shards that an earlier, larger dataset left behind. */
async function deleteLeftovers(target: ObjectStore, shards: number): Promise<void> {
  const leftovers: string[] = [];
  for await (const { key } of target.list('shard-'))
    if (shardName.test(key) && Number(key.slice(6, -4)) >= shards) leftovers.push(key);
  for (const key of leftovers) await target.delete(key);
}

async function putIndex(target: ObjectStore, index: Buffer, force: boolean): Promise<void> {
  if (index.length > maxIndexBytes)
    throw new Error(`the index has ${index.length} bytes, more than ${maxIndexBytes}`);
  const options = { contentType: 'application/json', ifAbsent: !force };
  try {
    await target.put(indexKey, index, options);
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
    throw new Error(`another dataset was packed to ${target.url} meanwhile`, { cause: error });
  }
}
