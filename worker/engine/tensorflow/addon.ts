// What of TensorFlow this machine has: the stock addon, its library, and the CUDA libraries that
// TensorFlow opens at run time. Reads the disk only.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { libraryPath } from '../../../shared/environment.js';
import { OperatorError } from '../../../shared/problems.js';

/** The packages that bring the addon, in the order in which they are tried. */
const addonPackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

/** The npm script that makes or mends an installation. */
export const setupScript = 'npm run setup:tensorflow';

export interface AddonPackage {
  readonly name: string;
  readonly version: string;
  /** Absolute path of the package's folder. */
  readonly folder: string;
}

const require = createRequire(import.meta.url);

/** The first of the packages that is installed, built or not; undefined for none. */
export function findPackage(): AddonPackage | undefined {
  for (const name of addonPackages) {
    try {
      const path = require.resolve(`${name}/package.json`);
      const { version } = require(path) as { version: string };
      return { name, version, folder: dirname(path) };
    } catch {
      // Not installed.
    }
  }
  return undefined;
}

/** The addon of a package: N-API 8 is the newest that tfjs-node 4.22 is built for. */
export function addonPath({ folder }: AddonPackage): string {
  return join(folder, 'lib', 'napi-v8', 'tfjs_binding.node');
}

/** Where the addon looks for TensorFlow first (its RUNPATH). */
export function libraryFolder({ folder }: AddonPackage): string {
  return join(folder, 'deps', 'lib');
}

/** The package with its addon; throws OperatorError when one of them is missing. */
export function findAddon(): AddonPackage {
  const found = findPackage();
  const hint = `${setupScript} installs and builds it`;
  if (found === undefined)
    throw new OperatorError('the TensorFlow engine is not set up', [
      { key: addonPackages[0], given: undefined, allowed: 'an installed package', hint },
    ]);
  if (!existsSync(addonPath(found)))
    throw new OperatorError('the TensorFlow engine is not set up', [
      {
        key: `${found.name} ${found.version}`,
        given: `without ${addonPath(found)}`,
        allowed: 'a package whose addon is built',
        hint,
      },
    ]);
  return found;
}

/**
 * Opened by TensorFlow 2.18 to 2.21, built for CUDA 12 and cuDNN 9. Names: TensorFlow 2.21,
 * tensorflow/third_party/xla/xla/tsl/platform/default/dso_loader.cc.
 */
const cudaLibraries = [
  ...['libcudart.so.12', 'libcublas.so.12', 'libcublasLt.so.12', 'libcufft.so.11'],
  ...['libcusolver.so.11', 'libcusparse.so.12', 'libcudnn.so.9', 'libnccl.so.2'],
];

/** The driver's own library, which no package brings. */
export const driverLibrary = 'libcuda.so.1';

const systemFolders = [
  '/usr/local/cuda/lib64',
  '/usr/lib/x86_64-linux-gnu',
  '/usr/local/nvidia/lib64',
];

/** The libraries that are found neither in `folder` nor where the system's loader looks. */
export function missingCudaLibraries(folder: string): string[] {
  const folders = [folder, ...libraryPath(), ...systemFolders];
  const known = cachedByLoader();
  return [...cudaLibraries, driverLibrary].filter(
    (name) => !known.includes(name) && !folders.some((one) => existsSync(join(one, name))),
  );
}

/** What ldconfig lists; nothing where there is no ldconfig. */
function cachedByLoader(): string {
  try {
    return execFileSync('ldconfig', ['-p'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return '';
  }
}
