// House rules that eslint can't say, over every source file that git knows or would take.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { packageFile } from '../../shared/paths.js';

const root = packageFile('.');
const folders = [
  ...['bench', 'bin', 'cli', 'coordinator', 'dataset', 'inference'],
  ...['shared', 'task', 'test', 'trace', 'watch', 'web', 'worker'],
];

/** Paths of all sources below the package's folders, relative to its root. */
function sources(): string[] {
  return folders
    .map((folder) => join(root, folder))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && /\.(ts|js)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** The sources without the tests, whose names say what they are for. */
const programs = (): string[] => sources().filter((path) => !path.endsWith('.test.ts'));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test('there are sources to look at', () => {
  assert.ok(sources().length > 30, `${sources().length} files`);
  assert.ok(sources().includes('test/unit/tidy.test.ts'));
});

test('every file but a test opens with a comment of one to seven lines that says what it is for', () => {
  const bad = programs().filter((path) => {
    const lines = read(path)
      .replace(/^#!.*\n/, '')
      .split('\n');
    const end = lines.findIndex((line) => !line.startsWith('//'));
    return end < 1 || end > 7 || (lines[0] ?? '').length < 20;
  });
  assert.deepEqual(bad, []);
});

test('file names are kebab-case nouns, and none is a drawer for odds and ends', () => {
  const good = /^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.(ts|js)$/;
  const drawer = /(^|[-/])(utils?|helpers?|common|managers?|misc)(\.|-|\/)|(^|\/)index\./;
  const bad = sources().filter((path) => {
    const name = path.split('/').at(-1) ?? '';
    return !good.test(name) || drawer.test(path);
  });
  assert.deepEqual(bad, []);
});

test('lines have at most 100 columns', () => {
  const bad = programs().flatMap((path) =>
    read(path)
      .split('\n')
      .flatMap((line, i) =>
        line.length > 100 && !/https?:\/\//.test(line) ? [`${path}:${i + 1}`] : [],
      ),
  );
  assert.deepEqual(bad, []);
});

test('every exported declaration of the programs has a doc comment', () => {
  const bad = sources()
    .filter((path) => !path.startsWith('test/') && path.endsWith('.ts'))
    .flatMap((path) => undocumented(path));
  assert.deepEqual(bad, []);
});

/** Exports that do real work and stand without a comment above: functions and interfaces. */
function undocumented(path: string): string[] {
  const lines = read(path).split('\n');
  return lines.flatMap((line, i) => {
    const name = /^export (?:async )?function\*? (\w+)/.exec(line)?.[1];
    if (name === undefined || (lines[i - 1] ?? '').endsWith('*/')) return [];
    // An overload stands under the comment of the first.
    const isOverload = lines.slice(0, i).some((above) => above.includes(`function ${name}(`));
    return isOverload ? [] : [`${path}:${i + 1} ${name}`];
  });
}

/** Programs, and what each is built from: a name that is exported there means one thing. */
const programNames: Readonly<Record<string, readonly string[]>> = {
  worker: ['worker', 'shared', 'task', 'trace', 'dataset', 'inference'],
  coordinator: ['coordinator', 'shared', 'watch'],
  cli: ['cli', 'shared', 'bench', 'watch'],
};

for (const [program, rooms] of Object.entries(programNames))
  test(`an exported name is unique within ${program} and what it is built from`, () => {
    const files = new Map<string, string[]>();
    for (const path of sources().filter((path) => rooms.includes(path.split('/')[0] ?? '')))
      for (const name of exportedNames(path)) files.set(name, [...(files.get(name) ?? []), path]);
    const bad = [...files].filter(([, paths]) => paths.length > 1);
    assert.deepEqual(bad, []);
  });

/** Each name that a file declares and exports, once. */
function exportedNames(path: string): Set<string> {
  const declaration =
    /^export (?:declare |abstract |async )*(?:function\*?|const|class|interface|type) (\w+)/gm;
  return new Set([...read(path).matchAll(declaration)].map(([, name]) => name ?? ''));
}

test('no folder has more than 15 sources, but for a file a command', () => {
  const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
  const counts = new Map<string, number>();
  for (const path of sources()) counts.set(folderOf(path), (counts.get(folderOf(path)) ?? 0) + 1);
  const bad = [...counts].filter(([folder, count]) => count > 15 && folder !== 'cli/commands');
  assert.deepEqual(bad, []);
});

test('core and edge are joined where docs/architecture.md says', () => {
  const [, list = ''] = /<!-- joins:start -->([^]*)<!-- joins:end -->/.exec(
    read('docs/architecture.md'),
  ) ?? [''];
  const listed = [...list.matchAll(/`([\w/-]+\.ts)`/g)].map(([, path]) => path ?? '');
  const joins = programs()
    .filter((path) => !path.startsWith('test/') && !path.includes('/core/'))
    .filter((path) => importsDecisions(path));
  assert.deepEqual(joins.sort(), listed.sort());
});

/** Whether a file takes functions, and not types alone, from a core. */
function importsDecisions(path: string): boolean {
  const imports = /^import (?!type )([^;]*?) from '[^']*\/core\/[^']*';/gm;
  return [...read(path).matchAll(imports)].some(([, names = '']) =>
    names
      .replace(/[{}]/g, '')
      .split(',')
      .some((name) => name.trim() !== '' && !name.trim().startsWith('type ')),
  );
}

test('nothing waits to be written', () => {
  const marks = /\b(TODO|FIXME|XXX|HACK)\b|not (written|implemented) yet/;
  const bad = sources().filter(
    (path) => path !== 'test/unit/tidy.test.ts' && marks.test(read(path)),
  );
  assert.deepEqual(bad, []);
});
