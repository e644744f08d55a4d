// The files of the page that shows a run: plain modules in web/watch/ and the libraries that they
// use, each as its package has it. Modules name one another by bare names, and one import map says
// where each lies, so that a report can carry the same modules within itself.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { packageFile } from '../../shared/paths.js';

/** A file of the page. */
export interface PageFile {
  /** Where the page asks for it, below the page's own address: "watch/panels.js". */
  readonly at: string;
  /** Absolute path. */
  readonly path: string;
}

const ownModules = ['panels', 'charts', 'chart-parts', 'world-line', 'head', 'workers', 'faces'];
const ownNames = [...ownModules, 'goodput', 'live', 'words'];

/** By the bare name: the package, and the file within it. */
const libraries: Readonly<Record<string, readonly [string, string]>> = {
  preact: ['preact', 'dist/preact.module.js'],
  'preact/hooks': ['preact', 'hooks/dist/hooks.module.js'],
  htm: ['htm', 'dist/htm.module.js'],
  uplot: ['uplot', 'dist/uPlot.esm.js'],
};

const librarySheets: readonly (readonly [string, string])[] = [
  ['@picocss/pico', 'css/pico.min.css'],
  ['uplot', 'dist/uPlot.min.css'],
];

/** The page's modules by their bare names. */
export function pageModules(): ReadonlyMap<string, PageFile> {
  return new Map([
    ...Object.entries(libraries).map(([name, [folder, file]]) => {
      const at = `lib/${name.replace('/', '-')}.js`;
      return [name, { at, path: libraryFile(folder, file) }] as const;
    }),
    ...ownNames.map((name) => {
      const at = `watch/${name}.js`;
      return [`lockstep-watch/${name}`, { at, path: packageFile(`web/${at}`) }] as const;
    }),
  ]);
}

/** The page's style sheets, in the order in which they apply. */
export function pageStyles(): readonly PageFile[] {
  return [
    ...librarySheets.map(([folder, file]) => {
      return { at: `lib/${basename(file)}`, path: libraryFile(folder, file) };
    }),
    { at: 'watch/watch.css', path: packageFile('web/watch/watch.css') },
  ];
}

/** Found by its folder: not every package lets its files be resolved. */
function libraryFile(name: string, file: string): string {
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const paths = folders.map((folder) => join(folder, name, file));
  const path = paths.find((one) => existsSync(one));
  if (path === undefined) throw new Error(`${name} is not installed: no ${file} in ${folders[0]}`);
  return path;
}

/** What the server of the page gives. */
export interface PageContent {
  /** By where the page asks for it; the page itself is "". */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly contentSecurityPolicy: string;
}

/** Reads all of the page; no script runs there but its own files, and the import map by its sum. */
export async function readPage(): Promise<PageContent> {
  const modules = pageModules();
  const imports = [...modules].map(([name, { at }]) => [name, `./${at}`] as const);
  const importMap = JSON.stringify({ imports: Object.fromEntries(imports) });
  const sheets = pageStyles();
  const links = sheets.map(({ at }) => `<link rel="stylesheet" href="${at}" />`).join('\n    ');
  const template = await readFile(packageFile('web/watch/index.html'), 'utf8');
  const page = template
    .replace('<!-- styles -->', links)
    .replace('<!-- import map -->', `<script type="importmap">${importMap}</script>`);
  const icon = { at: 'watch/icon.svg', path: packageFile('web/icon.svg') };
  const files = new Map<string, Buffer>([['', Buffer.from(page)]]);
  for (const { at, path } of [...modules.values(), ...sheets, icon])
    files.set(at, await readFile(path));
  const sum = createHash('sha256').update(importMap).digest('base64');
  return {
    files,
    contentSecurityPolicy:
      `default-src 'none'; script-src 'self' 'sha256-${sum}'; style-src 'self'; ` +
      "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
      "frame-ancestors 'none'",
  };
}
