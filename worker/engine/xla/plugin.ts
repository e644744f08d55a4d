// Which PJRT plugin drives a kind of device on this machine: the one that LOCKSTEP_XLA_PLUGIN
// names, else the one that `setup xla` put into the cache folder; and how its client is started so
// that it computes the same bytes each time.

import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { parseJson } from '../../../shared/bounded-json.js';
import { cacheFolder, readEnvironment, setNativeEnvironment } from '../../../shared/environment.js';
import type { NativeEnvironment } from '../../../shared/environment.js';
import { messageOf, OperatorError } from '../../../shared/problems.js';
import { PjrtError, type NamedValues } from './calls.js';
import type { XlaFlags } from './compile-options.js';
import { loadLibrary } from './native.js';
import { openPlugin, type PjrtClient } from './pjrt.js';

/** Kinds of devices, as `--provider` names them, in the order in which they are looked for. */
export const xlaProviders = ['cuda', 'rocm', 'cpu'] as const;
export type XlaProvider = (typeof xlaProviders)[number];

/** A plugin on this machine, which may not load. */
export interface XlaPlugin {
  readonly provider: XlaProvider;
  /** Path of the shared object. */
  readonly path: string;
  /** Where it comes from, in words: "jax-cuda13-pjrt 0.12.0.1", "LOCKSTEP_XLA_PLUGIN". */
  readonly origin: string;
}

/** What `setup xla` notes beside a plugin. */
export const pluginNoteSchema = z.object({
  /** Path of the shared object, from the note's folder. */
  plugin: z.string().max(4096),
  origin: z.string().max(200),
});

/** Folder of the plugin that `setup xla` installs for a provider. */
export function pluginFolder(provider: XlaProvider): string {
  return join(cacheFolder(), 'xla', provider);
}

/** The note's name in that folder. */
export const pluginNote = 'plugin.json';

/** The plugin for a provider, or for the first that there is one for; undefined for none. */
export function lookForPlugin(provider?: XlaProvider): XlaPlugin | undefined {
  const named = readEnvironment().xlaPlugin;
  if (named !== undefined) {
    // By its name alone the loader would look elsewhere.
    const path = resolve(named);
    return { provider: provider ?? providerOf(named), path, origin: variable };
  }
  const wanted = provider === undefined ? xlaProviders : [provider];
  return wanted.map(installedPlugin).find((found) => found !== undefined);
}

const variable = 'LOCKSTEP_XLA_PLUGIN';

/** The provider that a plugin's path speaks of; without any, "cpu". */
export function providerOf(path: string): XlaProvider {
  return xlaProviders.find((one) => path.toLowerCase().includes(one)) ?? 'cpu';
}

function installedPlugin(provider: XlaProvider): XlaPlugin | undefined {
  const folder = pluginFolder(provider);
  try {
    const text = readFileSync(join(folder, pluginNote), 'utf8');
    const { plugin, origin } = pluginNoteSchema.parse(parseJson(text));
    return { provider, path: resolve(folder, plugin), origin };
  } catch {
    return undefined;
  }
}

/** Whether there is a plugin for a provider, as far as that shows without loading it. */
export function hasPlugin(provider: XlaProvider): boolean {
  const named = readEnvironment().xlaPlugin;
  if (named !== undefined && providerOf(named) !== provider) return false;
  const found = lookForPlugin(provider);
  return found !== undefined && existsSync(found.path);
}

/**
 * The plugin for a provider; undefined: for the first of `xlaProviders` that has one. Throws
 * OperatorError with the command that installs it.
 */
export function findPlugin(provider?: XlaProvider): XlaPlugin {
  const found = lookForPlugin(provider);
  if (found !== undefined && existsSync(found.path)) return found;
  const flag = { cuda: ' -- --cuda 13', rocm: ' -- --rocm', cpu: ' -- --cpu' };
  throw new OperatorError('the engine xla is not set up', [
    {
      key: found?.origin ?? `plugin for ${provider ?? xlaProviders.join(', ')}`,
      given: found?.path,
      allowed: 'a PJRT plugin: a shared object that is there',
      hint: `npm run setup:xla${provider === undefined ? '' : flag[provider]} installs one`,
    },
  ]);
}

/** What a client is to drive. */
export interface XlaClientOptions {
  /** Undefined: the first of `xlaProviders` that has a plugin. */
  readonly provider?: XlaProvider | undefined;
  /** Processor threads. On CPUs they change the bytes, so they belong into the fingerprint. */
  readonly threads: number;
  /** How many devices; on CPUs at most `threads`, which they share. */
  readonly devices: number | 'all';
}

/** A client, and what goes with it. */
export interface XlaClient {
  readonly client: PjrtClient;
  readonly plugin: XlaPlugin;
  /** Names the plugin's build, the same on every machine: "0.115-ad1309ac822b". */
  readonly version: string;
  /** Options of the compiler that change the bytes: a part of what an executable is known by. */
  readonly flags: XlaFlags;
}

/**
 * Starts a client on a plugin. Each of its compilations has the options that depend on this machine
 * alone. Throws OperatorError when the machine lacks a plugin, koffi, or the devices.
 */
export async function openXlaClient(options: XlaClientOptions): Promise<XlaClient> {
  const { threads, devices } = options;
  const plugin = findPlugin(options.provider);
  const { provider } = plugin;
  if (provider === 'cpu' && devices !== 'all' && devices > threads)
    throw new OperatorError('the engine xla can not do this', [
      {
        key: '--devices',
        given: devices,
        allowed: `at most ${threads} on CPUs, which is engine.threads: devices share the threads`,
      },
    ]);
  setNativeEnvironment(nativeVariables(provider, threads));
  const libraries = cudaFolder(plugin);
  if (libraries !== undefined) loadCudaLibraries(libraries);
  const opened = openPlugin(plugin.path);
  // Each time: a file that is used where it lies may have been replaced.
  const sha256 = await digestOf(plugin.path);
  const count = devices === 'all' ? threads : devices;
  const own: XlaFlags = libraries === undefined ? {} : { xla_gpu_cuda_data_dir: libraries };
  const client = await opened.createClient(clientOptions(provider, count), own).catch((error) => {
    throw withoutDevices(plugin, error);
  });
  try {
    requireDevices(client, plugin, devices);
  } catch (error) {
    client.close();
    throw error;
  }
  return {
    client,
    plugin,
    version: `${opened.apiVersion}-${sha256.slice(0, 12)}`,
    flags: provider === 'cpu' ? {} : gpuFlags,
  };
}

function withoutDevices({ provider, path }: XlaPlugin, error: unknown): Error {
  if (!(error instanceof PjrtError)) return error as Error;
  const needed = {
    cuda: "a GPU that NVIDIA's driver lists (nvidia-smi, CUDA_VISIBLE_DEVICES)",
    rocm: 'a GPU that ROCm lists (rocminfo, HIP_VISIBLE_DEVICES)',
    cpu: 'a plugin for CPUs',
  };
  return new OperatorError(`the plugin can not start: ${error.message}`, [
    { key: path, given: `a machine for ${provider}`, allowed: needed[provider] },
  ]);
}

/** SHA-256 of a file, in hex. */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 ** 2 }), hash);
  return hash.digest('hex');
}

/**
 * No kernel that adds in the order in which threads come. Which of the others is taken is found by
 * trying them, so two compilations may differ: what is stored with a run is what all load.
 */
const gpuFlags: XlaFlags = { xla_gpu_exclude_nondeterministic_ops: true };

/** PJRT_NPROC is the size of the CPU client's thread pool, which large sums are split by. */
function nativeVariables(provider: XlaProvider, threads: number): NativeEnvironment {
  const forced: Record<string, string> = provider === 'cpu' ? { PJRT_NPROC: String(threads) } : {};
  return {
    forced,
    defaults: { TF_CPP_MIN_LOG_LEVEL: '2' },
  };
}

/** GPUs: memory grows with what is used, as other processes may share the device. */
function clientOptions(provider: XlaProvider, devices: number): NamedValues {
  return provider === 'cpu' ? { cpu_device_count: BigInt(devices) } : { preallocate: false };
}

function requireDevices(client: PjrtClient, plugin: XlaPlugin, devices: number | 'all'): void {
  const { platform } = client;
  const count = client.devices.length;
  const isOther = platform.toLowerCase() !== plugin.provider;
  if (isOther || count === 0 || (devices !== 'all' && count < devices))
    throw new OperatorError('the plugin has not got the devices', [
      {
        key: isOther ? '--provider' : '--devices',
        given: isOther ? plugin.provider : devices,
        allowed: isOther ? `${platform}, which ${plugin.path} drives` : `at most ${count}`,
      },
    ]);
}

/**
 * NVIDIA's libraries where Python's packages have them, beside the plugin's own folder: those that
 * the plugin opens by name are found by its RPATH, but not the ones that those open in turn.
 */
function cudaFolder({ provider, path }: XlaPlugin): string | undefined {
  if (provider !== 'cuda') return undefined;
  const nvidia = join(dirname(path), '..', '..', 'nvidia');
  const folders = ['cu13', 'cuda_nvcc'].map((name) => join(nvidia, name));
  return folders.find((folder) => existsSync(folder));
}

/** Each after those that it needs. */
const cudaLibraries = [
  ...['libcudart.so', 'libnvrtc.so', 'libnvJitLink.so', 'libcublasLt.so', 'libcublas.so'],
  ...['libcusparse.so', 'libcusolver.so', 'libcufft.so', 'libcupti.so', 'libnccl.so'],
  ...['libnvshmem_host.so', 'libcudnn.so'],
];

/** Loads what is there; what is missing the plugin reports, as far as it needs it. */
function loadCudaLibraries(folder: string): void {
  const nvidia = dirname(folder);
  const files = readdirSync(nvidia)
    .map((part) => join(nvidia, part, 'lib'))
    .filter((lib) => existsSync(lib))
    .flatMap((lib) => readdirSync(lib).map((name) => ({ name, path: join(lib, name) })));
  for (const library of cudaLibraries) {
    const found = files.find(({ name }) => name.startsWith(`${library}.`));
    if (found === undefined) continue;
    try {
      loadLibrary(found.path);
    } catch (error) {
      throw new OperatorError("one of NVIDIA's libraries can not be loaded", [
        { key: found.path, given: messageOf(error), allowed: 'a library that loads' },
      ]);
    }
  }
}
