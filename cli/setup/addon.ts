// The stock addon of @tensorflow/tfjs-node-gpu: installs the npm package without running its
// script, and compiles its own sources, unchanged, against a TensorFlow library.

import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { compiler, packageFile } from '../../shared/environment.js';
import {
  addonPath,
  findPackage,
  libraryFolder,
  type AddonPackage,
} from '../../worker/engine/tensorflow/addon.js';
import type { TensorflowLibrary } from './library.js';
import { runProgram } from './programs.js';

/** What is installed: the package whose addon it is, and node_api.h, which Node does not bring. */
const addonRequirement = '@tensorflow/tfjs-node-gpu@4.22.0';
const headersPackage = 'node-api-headers';
const headersRequirement = `${headersPackage}@1.9.0`;

const require = createRequire(import.meta.url);
const here = packageFile('.');

/**
 * Installs the packages where Lockstep's own dependencies lie; neither package.json nor the
 * lockfile changes. Does nothing when they are there.
 */
export async function installPackages(say: (text: string) => void): Promise<AddonPackage> {
  const known = findPackage();
  if (known !== undefined && headersFolder() !== undefined) return known;
  const root = projectRoot();
  say(`installing ${addonRequirement} into ${join(root, 'node_modules')}`);
  // As a dependency it is an optional peer, which npm takes for installed: hence --save-prod.
  const kept = ['--no-save', '--save-prod', '--ignore-scripts', '--no-audit', '--no-fund'];
  const omitted = (await hasDevDependencies(root)) ? [] : ['--omit=dev'];
  const requirements = [addonRequirement, headersRequirement];
  await runProgram('npm', ['install', ...kept, ...omitted, ...requirements], {
    cwd: root,
    whenMissing: 'npm comes with Node',
    whenFailed: 'an npm that reaches the registry or a mirror of it (npm config set registry)',
  });
  const installed = findPackage();
  if (installed === undefined) throw new Error(`npm did not install ${addonRequirement}`);
  return installed;
}

/** The folder whose node_modules holds Lockstep's dependencies. */
function projectRoot(): string {
  return basename(dirname(here)) === 'node_modules' ? dirname(dirname(here)) : here;
}

/** Whether the root's development tools are installed: npm must neither add nor remove them. */
async function hasDevDependencies(root: string): Promise<boolean> {
  const text = await readFile(join(root, 'package.json'), 'utf8');
  const { devDependencies = {} } = JSON.parse(text) as { devDependencies?: object };
  return Object.keys(devDependencies).some((name) => existsSync(join(root, 'node_modules', name)));
}

function headersFolder(): string | undefined {
  try {
    return join(dirname(require.resolve(`${headersPackage}/package.json`)), 'include');
  } catch {
    return undefined;
  }
}

/** Points the package to the library (`deps`) and compiles the addon, in about ten seconds. */
export async function buildAddon(
  addon: AddonPackage,
  library: TensorflowLibrary,
  say: (text: string) => void,
): Promise<void> {
  await linkLibrary(addon, library);
  const target = addonPath(addon);
  const sources = await readdir(join(addon.folder, 'binding'));
  const made = `${target}.${process.pid}`;
  await mkdir(dirname(target), { recursive: true });
  say(`compiling ${addon.name} ${addon.version} against ${library.folder}`);
  const args = [
    ...['-std=gnu++17', '-O2', '-shared', '-fPIC', '-DNAPI_VERSION=8'],
    ...['-I.', `-I${library.include}`, `-I${headersFolder()}`],
    ...sources.filter((name) => name.endsWith('.cc')).map((name) => join('binding', name)),
    ...[`-L${library.folder}`, ...library.objects.map((name) => `-l:${name}`)],
    // From lib/napi-v8 in the package to deps/lib in it.
    '-Wl,-rpath,$ORIGIN/../../deps/lib',
    ...['-o', made],
  ];
  try {
    await runProgram(compiler(), args, {
      cwd: addon.folder,
      whenMissing: 'install a C++ compiler (Debian: apt-get install g++), or name one in CXX',
      whenFailed: 'a compiler of C++17, and a TensorFlow library whose headers are of its version',
    });
    await rename(made, target);
  } finally {
    await rm(made, { force: true });
  }
}

/** deps/lib holds links to every shared object of the library's folder, CUDA's included. */
async function linkLibrary(addon: AddonPackage, library: TensorflowLibrary): Promise<void> {
  const links = libraryFolder(addon);
  await rm(dirname(links), { recursive: true, force: true });
  await mkdir(links, { recursive: true });
  const objects = (await readdir(library.folder)).filter((name) => name.includes('.so'));
  for (const name of objects) await symlink(join(library.folder, name), join(links, name));
}

/** What an addon was built from, kept beside it: to see whether it must be built anew. */
export interface BuildRecord {
  readonly addon: string;
  readonly library: string;
}

const recordPath = (addon: AddonPackage): string => `${addonPath(addon)}.json`;

/** What the addon that is there was built from; undefined if it was not built here. */
export async function readBuildRecord(addon: AddonPackage): Promise<BuildRecord | undefined> {
  if (!existsSync(addonPath(addon))) return undefined;
  try {
    return JSON.parse(await readFile(recordPath(addon), 'utf8')) as BuildRecord;
  } catch {
    return undefined;
  }
}

/** Notes what the addon was built from. */
export async function writeBuildRecord(addon: AddonPackage, record: BuildRecord): Promise<void> {
  await writeFile(recordPath(addon), `${JSON.stringify(record)}\n`);
}
