// The set-up of the TensorFlow engine: package, library, addon, trial. Each step says what it does,
// and a second set-up finds that nothing is left to do.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../../shared/environment.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import type { Provider } from '../../worker/engine/engine.js';
import {
  driverLibrary,
  libraryFolder,
  missingCudaLibraries,
  type AddonPackage,
} from '../../worker/engine/tensorflow/addon.js';
import { probe, type ProbeResult } from '../engine-trial.js';
import { listGpus } from '../local/gpus.js';
import { runProgram } from '../processes.js';
import {
  buildAddon,
  findLibrary,
  installPackages,
  readBuildRecord,
  writeBuildRecord,
  type TensorflowLibrary,
} from './tensorflow-addon.js';
import { tensorflowVersion, unpackWheels } from './tensorflow-wheels.js';

export interface SetupOptions {
  /** TensorFlow with CUDA. */
  readonly isGpu: boolean;
  /** A folder with a library; undefined: from wheels. */
  readonly library: string | undefined;
  /** Wheels on this machine; undefined: from PyPI. */
  readonly wheels: readonly string[] | undefined;
  /** The stock download of the npm package: TensorFlow 2.9, CUDA 11. */
  readonly isStock: boolean;
  /** Where libraries out of wheels are kept; undefined: the user's cache folder. */
  readonly libraryCache: string | undefined;
  /** Build the addon although it is there. */
  readonly isForced: boolean;
  readonly say: (text: string) => void;
}

/** Sets up the engine; answers what a trial of it saw. Throws OperatorError. */
export async function setUpTensorflow(options: SetupOptions): Promise<ProbeResult> {
  requireLinux();
  const { say } = options;
  const addon = await installPackages(say);
  if (options.isStock) await installStock(addon, options);
  else await install(addon, options);
  const provider = providerToTry(addon, options);
  say(`trying it${provider === undefined ? '' : ` on ${provider}`}`);
  // Symbols that the library lacks are found now, not in the middle of a run.
  const result = await probe({ engine: 'tensorflow', provider, threads: 1 }, { LD_BIND_NOW: '1' });
  if (result.failure !== undefined) throw unusable(result.failure, addon, options);
  return result;
}

async function install(addon: AddonPackage, options: SetupOptions): Promise<void> {
  const library = await provideLibrary(options);
  const record = { addon: addon.version, library: library.folder };
  const built = await readBuildRecord(addon);
  const isSame = built?.addon === record.addon && built.library === record.library;
  if (isSame && !options.isForced) {
    options.say(`the addon is built against ${library.folder} already`);
    return;
  }
  await buildAddon(addon, library, options.say);
  await writeBuildRecord(addon, record);
}

async function provideLibrary(options: SetupOptions): Promise<TensorflowLibrary> {
  const { isGpu, wheels, say } = options;
  if (options.library !== undefined) return findLibrary(options.library);
  const cache = options.libraryCache ?? cacheFolder();
  const kind = wheels === undefined ? tensorflowVersion : wheelKey(wheels);
  const folder = join(cache, `tensorflow-${kind}-${isGpu ? 'gpu' : 'cpu'}`);
  if (existsSync(folder)) say(`the library is in ${folder} already`);
  else await unpackWheels(folder, { isGpu, wheels, say });
  return findLibrary(folder);
}

/** Names a cache folder after the wheels that it came from. */
function wheelKey(wheels: readonly string[]): string {
  const missing = wheels.filter((wheel) => !existsSync(wheel));
  if (missing.length > 0)
    throw new OperatorError(
      'a wheel is missing',
      missing.map((given) => ({ key: '--wheel', given, allowed: 'a file that is there' })),
    );
  const [, version] = /tensorflow(?:_cpu)?-([^-]+)-/.exec(wheels.join(' ')) ?? [];
  return `${version ?? 'given'}-of-wheels`;
}

/** The package's own install script: it downloads TensorFlow 2.9.1 and a built addon. */
async function installStock({ folder }: AddonPackage, { isGpu, say }: SetupOptions): Promise<void> {
  say("running the package's own install script: TensorFlow 2.9.1, for GPUs with CUDA 11.2");
  const args = [join('scripts', 'install.js'), isGpu ? 'gpu' : 'cpu', 'download'];
  await runProgram(process.execPath, args, {
    cwd: folder,
    whenMissing: 'Node runs this very command',
    whenFailed: 'a network that reaches storage.googleapis.com; the wheels need PyPI only',
  });
}

/** Where an image is built there is no GPU: its libraries must be there all the same. */
function providerToTry(
  addon: AddonPackage,
  { isGpu, isStock, say }: SetupOptions,
): Provider | undefined {
  if (!isGpu) return undefined;
  if (listGpus().length > 0 || isStock) return 'cuda';
  const missing = missingCudaLibraries(libraryFolder(addon)).filter(
    (name) => name !== driverLibrary,
  );
  if (missing.length > 0) throw withoutLibraries(missing);
  say('there is no GPU here: the CUDA libraries are in place, and it is tried on the CPU only');
  return 'cpu';
}

function requireLinux(): void {
  if (process.platform === 'linux') return;
  throw new OperatorError('TensorFlow is set up on Linux only', [
    {
      key: 'platform',
      given: process.platform,
      allowed: 'linux',
      hint: 'elsewhere: npm install @tensorflow/tfjs-node, with its own install script',
    },
  ]);
}

function unusable(failure: string, addon: AddonPackage, { isGpu }: SetupOptions): OperatorError {
  const missing = isGpu ? missingCudaLibraries(libraryFolder(addon)) : [];
  return new OperatorError(
    `the addon is built, and can not be used: ${failure}`,
    missing.map(problemOfLibrary),
  );
}

function withoutLibraries(missing: readonly string[]): OperatorError {
  return new OperatorError('the CUDA libraries are not complete', missing.map(problemOfLibrary));
}

function problemOfLibrary(key: string): Problem {
  const hint = key === driverLibrary ? { hint: "NVIDIA's driver is not installed" } : {};
  return { key, given: undefined, allowed: 'a library that TensorFlow can open', ...hint };
}
