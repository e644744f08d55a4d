// The index of a packed dataset: which shards there are and where each sample lies in them. Shards
// are WebDataset tar files, `shard-000000.tar`; the index is `index.json`, written last. One that
// is not sound is refused: its size is bounded before it is parsed, its form is checked, and every
// sample must lie inside its shard, apart from the others.

import { z } from 'zod';
import { messageOf, OperatorError, type Problem } from '../shared/problems.js';
import { sha256Of } from '../shared/sha256.js';
import type { ObjectStore } from '../shared/store/store.js';
import { parseJson } from '../shared/bounded-json.js';

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

const sampleSchema = z.strictObject({
  /** Identity of the sample: its path below the packed folder, without the ending. */
  key: z.string().min(1).max(512),
  shard: z.int().min(0).max(1_000_000),
  /** Bytes of the picture file inside the shard. */
  offset,
  bytes: z.int().min(1).max(maxPictureBytes),
  width: z.int().min(1).max(65_535),
  height: z.int().min(1).max(65_535),
  /** Of the picture file; missing in the first format. */
  sha256: sha256.optional(),
});

/** Before samples had sums; runs have pinned such indexes. */
const firstFormat = 'lockstep-dataset/1';

const shardSchema = z.strictObject({
  file: z.string().regex(/^shard-\d{6,7}\.tar$/),
  bytes: offset,
  sha256,
});

/** All of the index but the form of its shards and samples. */
const outlineSchema = z.strictObject({
  format: z.enum([firstFormat, 'lockstep-dataset/2']),
  shards: z.array(z.unknown()).min(1).max(1_000_000),
  /** In the order of their keys. */
  samples: z.array(z.unknown()).min(1).max(50_000_000),
});

export type DatasetSample = z.infer<typeof sampleSchema>;
export type DatasetIndex = Pick<z.infer<typeof outlineSchema>, 'format'> & {
  shards: z.infer<typeof shardSchema>[];
  samples: DatasetSample[];
};

/** Whether each sample can be checked when it is read. */
export function hasSums(index: Pick<DatasetIndex, 'format'>): boolean {
  return index.format !== firstFormat;
}

/** What an operator reads of an index without sums. */
export function withoutSums(url: string): string {
  return (
    `the dataset at ${url} is of the first format, without sums of its samples: what changes in ` +
    'it is not noticed; pack it again for a new run'
  );
}

/** Bytes of the largest index that is read: what one string can hold, millions of samples. */
export const maxIndexBytes = 500 * 1024 * 1024;

const maxProblems = 20;

interface ReadIndex {
  readonly index: DatasetIndex;
  readonly sha256: string;
}

/**
 * Reads `index.json` under the store's root. Throws `OperatorError` when there is none, when it
 * is too large or unsound, or when its SHA-256 is not the one expected.
 */
export async function readDatasetIndex(
  store: ObjectStore,
  expectedSha256?: string,
): Promise<ReadIndex> {
  const bytes = await readBounded(store, expectedSha256 !== undefined);
  const sha256 = sha256Of(bytes);
  if (expectedSha256 !== undefined && sha256 !== expectedSha256)
    throw new OperatorError(`The dataset at ${store.url} is not the one this run started with:`, [
      {
        key: indexKey,
        given: sha256,
        allowed: `the sum ${expectedSha256}`,
        hint: 'put the old one back, give its place by --dataset, or start a new run',
      },
    ]);
  return { index: parseIndex(bytes, store.url), sha256 };
}

async function readBounded(store: ObjectStore, isOfRun: boolean): Promise<Buffer> {
  const info = await store.head(indexKey);
  if (info === undefined) throw noIndex(store.url, isOfRun);
  if (info.bytes === 0 || info.bytes > maxIndexBytes)
    throw unsound(store.url, [
      { key: indexKey, given: info.bytes, allowed: `1 to ${maxIndexBytes} bytes` },
    ]);
  return store.get(indexKey, { start: 0, end: info.bytes });
}

/** Parses and checks the bytes of an index; `url` is for the message only. */
function parseIndex(bytes: Buffer, url: string): DatasetIndex {
  let value: unknown;
  try {
    value = parseJson(bytes.toString('utf8'));
  } catch (error) {
    const allowed = 'a JSON document';
    throw unsound(url, [{ key: indexKey, given: messageOf(error), allowed }]);
  }
  const outline = outlineSchema.safeParse(value);
  if (!outline.success) throw unsound(url, formProblems(outline.error, value));
  const { shards, samples } = outline.data;
  const problems = [
    ...entryProblems('shards', shards, shardSchema),
    ...entryProblems('samples', samples, sampleSchema),
  ];
  if (problems.length > 0) throw unsound(url, problems.slice(0, maxProblems));
  const index = outline.data as DatasetIndex;
  const misplaced = placementProblems(index);
  if (misplaced.length > 0) throw unsound(url, misplaced.slice(0, maxProblems));
  return index;
}

function formProblems({ issues }: z.ZodError, value: unknown, at: PropertyKey[] = []): Problem[] {
  return issues.slice(0, maxProblems).map(({ path, message }) => ({
    key: [...at, ...path].join('.') || indexKey,
    given: valueAt(value, path),
    allowed: message,
  }));
}

/** Of millions of entries that are wrong, only the first are looked at. */
function entryProblems(name: string, entries: readonly unknown[], schema: z.ZodType): Problem[] {
  const problems: Problem[] = [];
  for (const [i, entry] of entries.entries()) {
    const { error } = schema.safeParse(entry);
    if (error !== undefined) problems.push(...formProblems(error, entry, [name, i]));
    if (problems.length >= maxProblems) break;
  }
  return problems;
}

/** What is wrong with where samples lie: order, doubles, ranges outside or over one another. */
function placementProblems(index: DatasetIndex): Problem[] {
  const problems: Problem[] = [];
  const { samples, shards } = index;
  for (const [i, sample] of samples.entries()) {
    const shard = shards[sample.shard];
    const key = `samples.${i}`;
    if (problems.length >= maxProblems) break;
    if (i > 0 && samples[i - 1].key >= sample.key)
      problems.push({ key: `${key}.key`, given: sample.key, allowed: 'ascending keys, each once' });
    if ((sample.sha256 !== undefined) !== hasSums(index)) problems.push(sumProblem(key, index));
    if (shard === undefined)
      problems.push({
        key: `${key}.shard`,
        given: sample.shard,
        allowed: `below ${shards.length}`,
      });
    else if (sample.offset + sample.bytes > shard.bytes)
      problems.push({
        key: `${key}.offset`,
        given: `${sample.offset} + ${sample.bytes}`,
        allowed: `within the ${shard.bytes} bytes of ${shard.file}`,
      });
  }
  return [...problems, ...overlapProblems(index), ...doubledShards(index)];
}

function sumProblem(key: string, { format }: DatasetIndex): Problem {
  const allowed = format === firstFormat ? `nothing in ${format}` : 'the sum of the picture file';
  return { key: `${key}.sha256`, given: undefined, allowed };
}

function overlapProblems({ samples }: DatasetIndex): Problem[] {
  const order = [...samples].sort((a, b) => a.shard - b.shard || a.offset - b.offset);
  const problems: Problem[] = [];
  for (const [i, sample] of order.entries()) {
    const before = order[i - 1];
    if (problems.length >= maxProblems) break;
    if (before === undefined || before.shard !== sample.shard) continue;
    if (before.offset + before.bytes <= sample.offset) continue;
    const allowed = `apart from ${JSON.stringify(before.key)}, whose bytes it overlaps`;
    problems.push({ key: `sample ${JSON.stringify(sample.key)}`, given: sample.offset, allowed });
  }
  return problems;
}

function doubledShards({ shards }: DatasetIndex): Problem[] {
  const seen = new Set<string>();
  const problems: Problem[] = [];
  for (const [i, { file }] of shards.entries()) {
    if (seen.has(file))
      problems.push({ key: `shards.${i}.file`, given: file, allowed: 'each shard once' });
    if (problems.length >= maxProblems) break;
    seen.add(file);
  }
  return problems;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  return at;
}

function noIndex(url: string, isOfRun: boolean): OperatorError {
  const hint = isOfRun
    ? 'where it lies now, if it was moved: lockstep resume RUN --dataset URL'
    : 'pack one first: lockstep dataset pack DIR URL';
  return new OperatorError('There is no dataset:', [
    { key: url, given: undefined, allowed: `a folder with ${indexKey}`, hint },
  ]);
}

function unsound(url: string, problems: readonly Problem[]): OperatorError {
  return new OperatorError(`The dataset's index at ${url} is unsound:`, problems);
}

/** The index as JSON, a line for each shard and sample. */
export function formatIndex({ format, shards, samples }: DatasetIndex): Buffer {
  const lines = (entries: readonly unknown[]): string =>
    entries.map((entry) => `    ${JSON.stringify(entry)}`).join(',\n');
  const parts = [
    `{\n  "format": ${JSON.stringify(format)},\n`,
    `  "shards": [\n${lines(shards)}\n  ],\n`,
    `  "samples": [\n${lines(samples)}\n  ]\n}\n`,
  ];
  return Buffer.concat(parts.map((part) => Buffer.from(part)));
}
