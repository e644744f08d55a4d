// `lockstep dataset`: packs pictures into shards, lists what was packed, verifies it.

import type { Argv, CommandModule, InferredOptionTypes, Options } from 'yargs';
import {
  hasSums,
  readDatasetIndex,
  withoutSums,
  type DatasetIndex,
} from '../../dataset/dataset-index.js';
import { openPictureSource } from '../../dataset/picture-source.js';
import { packDataset, type PackProgress, type PackResult } from '../../dataset/pack.js';
import { verifyDataset } from '../../dataset/shards.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { readEnvironment } from '../../shared/environment.js';
import { parseStoreUrl } from '../../shared/store/places.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { requireRanges } from '../number-ranges.js';
import { flagOption, numberOption, withPositional } from '../options.js';
import { printJson, printLine, printNote, printTable } from '../output.js';
import { createProgress, progressMode, type Progress, type ProgressMode } from '../progress.js';
import { storeOptions, withStore } from '../stores.js';

const maxSkippedLines = 50;
const maxDuplicateLines = 20;
const mib = 1024 * 1024;

const packOptions = {
  'min-size': numberOption('Shortest side, in pixels', { default: 64 }),
  'shard-mib': numberOption('Size of a shard, about', { default: 64 }),
  strict: flagOption('Refuse instead of skipping'),
  force: flagOption('Replace a dataset at URL'),
} as const satisfies Record<string, Options>;

interface UrlArguments {
  readonly url: string;
  readonly json: boolean;
}

type PackArguments = { readonly dir: string } & UrlArguments &
  InferredOptionTypes<typeof packOptions>;

const packCommand: CommandModule<object, PackArguments> = {
  command: 'pack <dir> <url>',
  describe: 'Pack the pictures below DIR into a dataset at URL',
  builder: (y) =>
    withUrl(withPositional(y, 'dir', 'Folder of pictures; file:// and s3:// also'))
      .options(packOptions)
      .example('$0 dataset pack ./faces s3://bucket/faces', 'Pack a folder into a bucket')
      .example('$0 dataset pack s3://bucket/photos file://faces', 'And the other way'),
  handler: async ({ dir, url, minSize, shardMib, strict, force, json }) => {
    requireRanges('The options are not right:', {
      '--min-size': [minSize, 16, 65_535],
      '--shard-mib': [shardMib, 1, 1024],
    });
    await withStore(placeOf(url), async (target) => {
      const source = await openPictureSource(dir, storeOptions());
      const bar = createPackBar(progressMode(json, readEnvironment().isPlain));
      try {
        const limits = { minSize, shardMib, strict, force };
        const result = await packDataset({ source, target, ...limits, onProgress: bar.show });
        bar.close();
        showPacked(result, target.url, json);
      } finally {
        bar.close();
        await source.close();
      }
    });
  },
};

const lsCommand: CommandModule<object, UrlArguments> = {
  command: 'ls <url>',
  describe: 'List the samples of the dataset at URL',
  builder: (y) => withUrl(y),
  handler: async ({ url, json }) => {
    const { index, sha256 } = await withStore(placeOf(url), (store) => readDatasetIndex(store));
    if (json) {
      for (const sample of index.samples) printJson(sample);
      return;
    }
    printTable([
      ['key', 'width', 'height', 'bytes', 'shard'],
      ...index.samples.map(({ key, width, height, bytes, shard }): (string | number)[] => [
        printable(key),
        width,
        height,
        bytes,
        index.shards[shard].file,
      ]),
    ]);
    printNote(`${summaryOf(index)}; SHA-256 of the index ${sha256}`);
  },
};

const verifyCommand: CommandModule<object, UrlArguments> = {
  command: 'verify <url>',
  describe: 'Read the dataset at URL whole: its sums, and that every picture can be decoded',
  builder: (y) => withUrl(y),
  handler: async ({ url, json }) => {
    await withStore(placeOf(url), async (store) => {
      const { index, sha256 } = await readDatasetIndex(store);
      const problems = await verifyWithBar(store, index, json);
      if (problems.length > 0)
        throw new OperatorError(`The dataset at ${store.url} is damaged:`, problems);
      if (!hasSums(index)) printNote(withoutSums(store.url));
      const { samples, shards } = index;
      const result = { samples: samples.length, shards: shards.length, index_sha256: sha256 };
      if (json) printJson({ ...result, bytes: bytesOf(index) });
      else printLine(`Whole: ${summaryOf(index)}; SHA-256 of the index ${sha256}`);
    });
  },
};

/** `lockstep dataset pack|ls|verify`. */
export const datasetCommand: CommandModule = {
  command: 'dataset <action>',
  describe: 'Pack pictures into a dataset, list it, verify it',
  builder: (y) =>
    y
      .command(packCommand)
      .command(lsCommand)
      .command(verifyCommand)
      .demandCommand(1, 'Name an action: pack, ls or verify.'),
  handler: () => undefined,
};

function withUrl<T>(y: Argv<T>): Argv<T & UrlArguments> {
  const place = 'Place of the dataset: s3://bucket/prefix or file://folder';
  return withPositional(y, 'url', place).option('json', flagOption('Print JSON, a line a result'));
}

/** Where a dataset lies; an OperatorError when that is no place. */
function placeOf(url: string): string {
  return parseStoreUrl(url, 'URL').url;
}

/** A bar for each phase of packing. */
function createPackBar(mode: ProgressMode): { show(at: PackProgress): void; close(): void } {
  let shown: { phase: PackProgress['phase']; bar: Progress } | undefined;
  const close = (): void => {
    shown?.bar.close();
    shown = undefined;
  };
  return {
    show({ phase, done, total, skipped }) {
      if (shown?.phase !== phase) {
        close();
        shown = { phase, bar: createProgress({ label: phase, total, mode }) };
      }
      shown.bar.update(done, skipped === 0 ? '' : `${skipped} skipped`);
    },
    close,
  };
}

async function verifyWithBar(
  store: ObjectStore,
  index: DatasetIndex,
  isJson: boolean,
): Promise<Problem[]> {
  const mode = progressMode(isJson, readEnvironment().isPlain);
  const total = Math.ceil(bytesOf(index) / mib);
  const bar = createProgress({ label: 'verifying (MiB)', total, mode });
  try {
    return await verifyDataset(store, index, (bytes) => bar.update(Math.ceil(bytes / mib)));
  } finally {
    bar.close();
  }
}

function showPacked(result: PackResult, url: string, isJson: boolean): void {
  const { samples, skipped, shards, bytes, indexSha256, duplicates, heldOut } = result;
  if (isJson) {
    const shares = heldOut.map((at) => ({ test_fraction: at.testFraction, samples: at.samples }));
    const counts = { samples, skipped, shards, bytes, index_sha256: indexSha256 };
    printJson({ ...counts, duplicates, held_out: shares });
    return;
  }
  for (const { file, reason } of skipped.slice(0, maxSkippedLines))
    printNote(`skipped ${printable(file)}: ${printable(reason)}`);
  if (skipped.length > maxSkippedLines)
    printNote(`... and ${skipped.length - maxSkippedLines} more (--json lists them all)`);
  for (const { key, first } of duplicates.slice(0, maxDuplicateLines))
    printNote(`the same picture twice: ${printable(key)} is ${printable(first)}`);
  if (duplicates.length > 0)
    printNote(`${duplicates.length} duplicates in all, which are packed like any other picture`);
  const shares = heldOut.map((at) => `${at.samples} at ${at.testFraction}`).join(', ');
  printNote(`dataset.testFraction decides how many are held out for evaluation: ${shares}`);
  printLine(
    `Packed ${samples} pictures into ${shards} shard(s), ${bytes} bytes, at ${url}` +
      (skipped.length === 0 ? '' : `; skipped ${skipped.length}`),
  );
  printLine(`SHA-256 of the index: ${indexSha256}`);
}

function summaryOf(index: DatasetIndex): string {
  const { samples, shards } = index;
  return `${samples.length} samples in ${shards.length} shard(s), ${bytesOf(index)} bytes`;
}

function bytesOf(index: DatasetIndex): number {
  return index.shards.reduce((sum, shard) => sum + shard.bytes, 0);
}

/** File names come from anywhere: no control characters reach the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}
