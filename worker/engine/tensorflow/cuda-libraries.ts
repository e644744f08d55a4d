// Which CUDA libraries TensorFlow opens at run time, and where they are looked for.
// Names: tensorflow/third_party/xla/xla/tsl/platform/default/dso_loader.cc of TensorFlow 2.21.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { libraryPath } from '../../../shared/environment.js';

/** Opened by TensorFlow 2.18 to 2.21, built for CUDA 12 and cuDNN 9. */
export const cudaLibraries = [
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
