// Packs the check for a GPU machine that has neither Node nor a network: this Node, the built tree
// and the production modules that the check loads, as xz-compressed archives in one folder, with a
// script that unpacks them and one that runs the check.
//
//   npm run pack:gpu -- FOLDER [--fast]

import { existsSync, readFileSync, statSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runProgram } from '../../cli/processes.js';
import { makeFolder } from '../../shared/local-files.js';
import { packageFile } from '../../shared/paths.js';

const mostBytes = 60e6;

/** Of the package: what the check runs, and the sources that say which tests there are. */
const trees = ['bin', 'dist', 'proto', 'presets', 'examples/faces', 'bench/peers', 'test/xla'];

/** Dependencies of parts that the check does not load: pages, clusters, spans, foreign models. */
const leftOut = [
  ...['htm', 'preact', 'uplot', '@opentelemetry/exporter-trace-otlp-http'],
  ...['@opentelemetry/resources', '@opentelemetry/sdk-trace-base', '@peculiar/x509'],
  ...['@kubernetes/client-node', '@picocss/pico', '@vladmandic/face-api', 'h5wasm'],
  ...['@tensorflow/tfjs-backend-wasm', '@tensorflow/tfjs-converter', 'reflect-metadata'],
];

/** Files that nothing loads. */
const isLoaded = (path: string): boolean => !/\.(map|md|d\.[cm]?ts|tsbuildinfo)$/.test(path);

/** In modules: builds for browsers, other systems and GPUs by another way, and what is not code. */
const isUnused = (path: string): boolean =>
  /\.min\.m?js$|_test\.js$|\.fesm\.|es2017|@tensorflow\/[\w-]+\/src$/.test(path) ||
  /\/(docs|tests|__tests__|examples|benchmarks?|vendor|node_modules)$/.test(path) ||
  /\/bin\/napi-v\d+\/(darwin|win32|linux\/(?!x64))|providers_(cuda|tensorrt)|libwebgpu/.test(path);

const unpackScript = `#!/bin/sh
# Unpacks the archives beside this script; by Python where tar knows no xz.
set -e
case "$0" in */*) cd "\${0%/*}" ;; esac
for archive in *.tar.xz; do
  tar -xJf "$archive" 2>/dev/null || python3 -m tarfile -e "$archive"
done
chmod +x node check
`;

const checkScript = `#!/bin/sh
# The check for GPUs; its flags are those of npm run check:gpu.
case "$0" in */*) cd "\${0%/*}" ;; esac
cd lockstep && exec ../node dist/test/gpu/check.js "$@"
`;

interface Manifest {
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

/** Paths, below the package's folder, of the modules that these need, themselves included. */
function modulesOf(names: readonly string[]): string[] {
  const found = new Set<string>();
  const visit = (name: string, from: string): void => {
    const path = resolveModule(name, from);
    // An optional one for another system is not there.
    if (path === undefined || found.has(path) || leftOut.includes(name)) return;
    found.add(path);
    const { dependencies, optionalDependencies } = manifest(`${path}/package.json`);
    for (const one of Object.keys({ ...dependencies, ...optionalDependencies })) visit(one, path);
  };
  for (const name of names) visit(name, '');
  return [...found].sort();
}

/** As Node finds it: in the module that asks, then in those around it. */
function resolveModule(name: string, from: string): string | undefined {
  const path = `${from === '' ? '' : `${from}/`}node_modules/${name}`;
  if (existsSync(packageFile(`${path}/package.json`))) return path;
  const around = from.slice(0, Math.max(0, from.lastIndexOf('/node_modules/')));
  return from === '' ? undefined : resolveModule(name, around);
}

function manifest(file: string): Manifest {
  return JSON.parse(readFileSync(packageFile(file), 'utf8')) as Manifest;
}

/** Copies what is needed of a path below the package to the same path below `into`. */
async function copy(path: string, into: string): Promise<void> {
  const [from, to] = [packageFile(path), join(into, path)];
  const isModule = path.startsWith('node_modules/');
  // What is nested in a module comes with a path of its own.
  const isWanted = (file: string): boolean =>
    file === from || (isLoaded(file) && !(isModule && isUnused(file)));
  await mkdir(join(to, '..'), { recursive: true });
  await cp(from, to, { recursive: true, dereference: true, filter: isWanted });
}

async function archive(folder: string, name: string, file: string): Promise<void> {
  process.stderr.write(`packing ${name}\n`);
  await runProgram(
    'tar',
    ['-C', folder, '-I', `xz ${flags.fast ? '-1' : '-9e'} -T2`, '-cf', file, name],
    {
      whenMissing: 'tar, with xz beside it (Debian: apt-get install xz-utils)',
      whenFailed: 'a tar that knows -I, and xz',
    },
  );
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { fast: { type: 'boolean', default: false } },
});
const [given] = positionals;
if (given === undefined) throw new Error('name the folder to pack into');
const target = resolve(given);
await makeFolder(target);
const scratch = await mkdtemp(join(tmpdir(), 'lockstep-pack-'));
try {
  const root = join(scratch, 'lockstep');
  const own = Object.keys(manifest('package.json').dependencies ?? {});
  const modules = modulesOf([...own, 'koffi']);
  for (const path of [...trees, 'package.json', ...modules]) await copy(path, root);
  await cp(process.execPath, join(scratch, 'node'));
  await archive(scratch, 'lockstep', join(target, 'lockstep.tar.xz'));
  await archive(scratch, 'node', join(target, 'node.tar.xz'));
  for (const [name, text] of Object.entries({ 'unpack.sh': unpackScript, check: checkScript })) {
    await writeFile(join(target, name), text);
    await chmod(join(target, name), 0o755);
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
const sizes = (await readdir(target)).map((name) => statSync(join(target, name)).size);
const bytes = sizes.reduce((a, b) => a + b, 0);
process.stdout.write(`${target}: ${(bytes / 1e6).toFixed(1)} MB\n`);
if (bytes > mostBytes) throw new Error(`that is more than ${mostBytes / 1e6} MB`);
