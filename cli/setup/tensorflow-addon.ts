// The stock addon of @tensorflow/tfjs-node-gpu: installs the npm package without running its
// script, finds a TensorFlow library, and compiles the package's own sources against it, unchanged.

import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { compiler } from '../../shared/environment.js';
import { OperatorError } from '../../shared/problems.js';
import {
  addonPath,
  findPackage,
  libraryFolder,
  type AddonPackage,
} from '../../worker/engine/tensorflow/addon.js';
import { runProgram } from '../processes.js';
import { parseJson } from '../../shared/bounded-json.js';
import { installNpmPackages } from './npm-packages.js';

/** What is installed: the package whose addon it is, and node_api.h, which Node does not bring. */
const addonRequirement = '@tensorflow/tfjs-node-gpu@4.22.0';
const headersPackage = 'node-api-headers';
const headersRequirement = `${headersPackage}@1.9.0`;

const require = createRequire(import.meta.url);

/**
 * Installs the packages where Lockstep's own dependencies lie; neither package.json nor the
 * lockfile changes. Does nothing when they are there.
 */
export async function installPackages(say: (text: string) => void): Promise<AddonPackage> {
  const known = findPackage();
  if (known !== undefined && headersFolder() !== undefined) return known;
  await installNpmPackages([addonRequirement, headersRequirement], say);
  const installed = findPackage();
  if (installed === undefined) throw new Error(`npm did not install ${addonRequirement}`);
  return installed;
}

function headersFolder(): string | undefined {
  try {
    return join(dirname(require.resolve(`${headersPackage}/package.json`)), 'include');
  } catch {
    return undefined;
  }
}

export interface TensorflowLibrary {
  /** Absolute path of the folder with the shared objects. */
  readonly folder: string;
  readonly include: string;
  /** File names, the one with TensorFlow's C interface first. */
  readonly objects: readonly string[];
}

/** A wheel's library, or the C library's. */
const mainObjects = ['libtensorflow_cc.so.2', 'libtensorflow.so.2'];
const frameworkObject = 'libtensorflow_framework.so.2';
const header = join('tensorflow', 'c', 'eager', 'c_api.h');

/**
 * The library in `given`: an unpacked wheel (its folder `tensorflow`, or the one around it) or an
 * unpacked C library (`lib` and `include`). Throws OperatorError saying what is not there.
 */
export function findLibrary(given: string): TensorflowLibrary {
  const root = resolve(given);
  const around = [root, join(root, 'lib'), join(root, 'tensorflow')];
  const folder = around.find((one) => existsSync(join(one, frameworkObject)));
  if (folder === undefined) throw unfit(given, `without ${frameworkObject}`);
  const main = mainObjects.find((name) => existsSync(join(folder, name)));
  if (main === undefined) throw unfit(given, `without ${mainObjects.join(' or ')}`);
  const include = [join(folder, 'include'), join(folder, '..', 'include')].find((one) =>
    existsSync(join(one, header)),
  );
  if (include === undefined) throw unfit(given, `without include/${header}`);
  return { folder, include, objects: [main, frameworkObject] };
}

function unfit(given: string, what: string): OperatorError {
  return new OperatorError('this is no TensorFlow library', [
    {
      key: '--library',
      given: `${given}, ${what}`,
      allowed: "an unpacked wheel of TensorFlow's, or an unpacked libtensorflow, 2.9 or newer",
    },
  ]);
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
    return parseJson(await readFile(recordPath(addon), 'utf8')) as BuildRecord;
  } catch {
    return undefined;
  }
}

/** Notes what the addon was built from. */
export async function writeBuildRecord(addon: AddonPackage, record: BuildRecord): Promise<void> {
  await writeFile(recordPath(addon), `${JSON.stringify(record)}\n`);
}
