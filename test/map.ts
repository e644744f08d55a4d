// The map of the sources, folder by folder: files, lines, the median and the largest file, and
// exported names that no other file uses.
//
//   npm run map [-- --deep] [-- --json] [-- CHECKOUT]

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { packageFile } from '../shared/paths.js';

const programs = [
  'shared',
  'coordinator',
  'worker',
  'task',
  'trace',
  'dataset',
  'inference',
  'watch',
];
const sourceFolders = [...programs, 'cli', 'bench', 'test'];

interface Source {
  readonly path: string;
  readonly lines: number;
  readonly exported: readonly string[];
  /** Every word in it. */
  readonly words: ReadonlySet<string>;
}

/** What the map says of a folder. */
interface FolderFacts {
  readonly folder: string;
  readonly files: number;
  readonly lines: number;
  readonly median: number;
  readonly largest: number;
  readonly usedOnce: number;
}

function readSources(checkout: string): Source[] {
  return sourceFolders.flatMap((folder) =>
    readdirSync(join(checkout, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map((entry) => readSource(checkout, join(entry.parentPath, entry.name))),
  );
}

function readSource(checkout: string, file: string): Source {
  const text = readFileSync(file, 'utf8');
  const declaration =
    /^export (?:declare |abstract |async )*(?:function\*?|const|class|interface|type) (\w+)/gm;
  return {
    path: relative(checkout, file),
    lines: text.split('\n').length - 1,
    exported: [...text.matchAll(declaration)].flatMap(([, name]) => name ?? []),
    words: new Set(text.match(/\w+/g)),
  };
}

function factsOf(folder: string, sources: readonly Source[], all: readonly Source[]): FolderFacts {
  const lines = sources.map((source) => source.lines).sort((a, b) => a - b);
  const usedOnce = sources.flatMap((source) =>
    source.exported.filter(
      (name) => !all.some((other) => other !== source && other.words.has(name)),
    ),
  );
  return {
    folder,
    files: sources.length,
    lines: lines.reduce((sum, count) => sum + count, 0),
    median: lines[Math.floor(lines.length / 2)] ?? 0,
    largest: lines.at(-1) ?? 0,
    usedOnce: usedOnce.length,
  };
}

/** Facts of each top-level folder, or of every folder, and of all but the tests. */
function mapOf(checkout: string, isDeep: boolean): FolderFacts[] {
  const all = readSources(checkout);
  const roomOf = ({ path }: Source): string =>
    isDeep ? dirname(path) : (path.split('/')[0] ?? path);
  const rooms = [...new Set(all.map(roomOf))].sort();
  const isTest = ({ path }: Source): boolean => path.startsWith('test/');
  const select = (name: string, isIn: (source: Source) => boolean): FolderFacts =>
    factsOf(name, all.filter(isIn), all);
  return [
    ...rooms.map((room) => select(room, (source) => roomOf(source) === room)),
    select('all but test', (source) => !isTest(source)),
  ];
}

function printTable(map: readonly FolderFacts[]): void {
  const rows = map.map((facts) => Object.values(facts).join(' | '));
  const heading = ['folder', 'files', 'lines', 'median', 'largest', 'exports used once'];
  const table = [heading.join(' | '), '--- | ---: | ---: | ---: | ---: | ---:', ...rows];
  process.stdout.write(table.map((row) => `| ${row} |\n`).join(''));
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { deep: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
});
const map = mapOf(positionals[0] ?? packageFile('.'), values.deep);
if (values.json) process.stdout.write(`${JSON.stringify(map, null, 2)}\n`);
else printTable(map);
