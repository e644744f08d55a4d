// The set-up of the engine xla: npm's koffi, a plugin for the kind of device, a note where the
// engine looks for it, and a trial. Each step says what it does, and a second set-up finds that
// nothing is left to do.

import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { cacheFolder } from '../../shared/environment.js';
import { OperatorError } from '../../shared/problems.js';
import { sha256Of } from '../../shared/sha256.js';
import { hasKoffi } from '../../worker/engine/xla/native.js';
import {
  digestOf,
  pluginFolder,
  pluginNote,
  providerOf,
  type XlaProvider,
} from '../../worker/engine/xla/plugin.js';
import { driverVersion, listGpus } from '../local/gpus.js';
import { describeDevices, probePlugin, type PluginReport } from '../plugin-trial.js';
import { installNpmPackages } from './npm-packages.js';
import { downloadWheels, fillFolder, unpackWheel } from './wheels.js';
import { xlaPackages, type XlaKind } from './xla-packages.js';

export interface XlaSetupOptions {
  /** Undefined: by what the machine has. */
  readonly kind: XlaKind | undefined;
  /** A plugin that is on this machine, used where it lies. */
  readonly plugin: string | undefined;
  /** Wheels on this machine; undefined: from PyPI. */
  readonly wheels: readonly string[] | undefined;
  /** Where plugins out of wheels are kept; undefined: the user's cache folder. */
  readonly libraryCache: string | undefined;
  readonly say: (text: string) => void;
}

const koffiRequirement = 'koffi@3.3.4';

/**
 * Sets up the engine; answers what a trial of it saw, or undefined where there is no device to try
 * it on. Throws OperatorError.
 */
export async function setUpXla(options: XlaSetupOptions): Promise<PluginReport | undefined> {
  const { say } = options;
  requireFiles(options);
  if (!hasKoffi()) await installNpmPackages([koffiRequirement], say);
  const { provider, path, origin } = await providePlugin(options);
  say(`trying ${path} on ${provider}`);
  const { report, failure } = await probePlugin(provider, path);
  if (report !== undefined) {
    await note(provider, path, origin);
    say(`it drives ${describeDevices(report)}`);
    return { ...report, origin };
  }
  if (provider === 'cuda' && listGpus().length === 0 && /no visible gpu/i.test(failure)) {
    await note(provider, path, origin);
    say('there is no GPU here: the plugin and its libraries load, and nothing was computed');
    return undefined;
  }
  throw new OperatorError(`the plugin is there, and can not be used: ${failure}`, []);
}

/** CUDA 13 needs a driver of the series 580 or newer. */
const cuda13Driver = 580;

function kindOf({ kind, say }: XlaSetupOptions): XlaKind {
  if (kind !== undefined) return kind;
  const driver = driverVersion();
  const chosen = driver === undefined ? 'cpu' : driver < cuda13Driver ? 'cuda12' : 'cuda13';
  const why = driver === undefined ? 'nvidia-smi lists no GPU' : `NVIDIA's driver is ${driver}`;
  say(`${why}: setting up ${chosen}`);
  return chosen;
}

interface ProvidedPlugin {
  readonly provider: XlaProvider;
  /** Absolute path of the shared object. */
  readonly path: string;
  readonly origin: string;
}

async function providePlugin(options: XlaSetupOptions): Promise<ProvidedPlugin> {
  const { kind, plugin, wheels, libraryCache, say } = options;
  if (plugin !== undefined) {
    const provider = kind === undefined ? providerOf(plugin) : xlaPackages[kind].provider;
    return { provider, path: resolve(plugin), origin: basename(plugin) };
  }
  if (process.platform !== 'linux')
    throw new OperatorError('plugins of XLA are installed on Linux only', [
      { key: 'platform', given: process.platform, allowed: 'linux', hint: 'else --plugin FILE' },
    ]);
  const chosen = kindOf(options);
  const { provider, requirements, megabytes, ...packages } = xlaPackages[chosen];
  const [main = ''] = wheels?.map((wheel) => basename(wheel)) ?? requirements;
  const origin = main.replace(/==|(?<=-\d[^-]*)-.*/g, (found) => (found === '==' ? ' ' : ''));
  const name = `${origin.replace(' ', '-')}${await markOf(wheels)}`;
  const folder = join(libraryCache ?? join(cacheFolder(), 'xla'), name);
  if (existsSync(folder)) say(`the plugin is in ${folder} already`);
  else
    await fillFolder(folder, async (unpacked, scratch) => {
      if (wheels === undefined)
        say(`downloading ${requirements.join(', ')} (about ${megabytes} MB)`);
      for (const wheel of wheels ?? (await downloadWheels(scratch, requirements))) {
        say(`unpacking ${basename(wheel)}`);
        await unpackWheel(wheel, unpacked);
      }
    });
  const path = await findObject(folder, packages.plugin);
  return { provider, path, origin };
}

/** What tells wheels of this machine apart from others whose first has the same name. */
async function markOf(wheels: readonly string[] | undefined): Promise<string> {
  if (wheels === undefined) return '';
  const digests = await Promise.all(wheels.map(digestOf));
  return `-${sha256Of(Buffer.from(digests.sort().join())).slice(0, 8)}`;
}

/** Where the wheels that are known have it, else by its name. */
async function findObject(folder: string, usual: string): Promise<string> {
  if (existsSync(join(folder, usual))) return resolve(folder, usual);
  const files = await readdir(folder, { recursive: true });
  const found = files.find((name) => /(pjrt|xla)[^/]*\.so$/.test(name));
  if (found !== undefined) return resolve(folder, found);
  throw new OperatorError('the wheels have no plugin', [
    { key: '--wheel', given: folder, allowed: 'wheels with a shared object named "...pjrt....so"' },
  ]);
}

/** Written last and whole: what the engine finds is complete and can be used. */
async function note(provider: XlaProvider, plugin: string, origin: string): Promise<void> {
  const folder = pluginFolder(provider);
  const [path, made] = [join(folder, pluginNote), join(folder, `.${pluginNote}.${process.pid}`)];
  await mkdir(folder, { recursive: true });
  await writeFile(made, `${JSON.stringify({ plugin, origin })}\n`);
  await rename(made, path);
}

function requireFiles({ plugin, wheels = [] }: XlaSetupOptions): void {
  const given = [
    ...(plugin === undefined ? [] : [{ key: '--plugin', path: plugin }]),
    ...wheels.map((path) => ({ key: '--wheel', path })),
  ];
  const missing = given.filter(({ path }) => !existsSync(path));
  if (missing.length === 0) return;
  throw new OperatorError(
    'a file is missing',
    missing.map(({ key, path }) => ({ key, given: path, allowed: 'a file that is there' })),
  );
}
