// Where the stock addon lies, in which package and with which library. Reads the disk only.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { OperatorError } from '../../../shared/problems.js';

/** The packages that bring the addon, in the order in which they are tried. */
export const addonPackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

/** The command that makes or mends an installation. */
export const setupCommand = 'npm run setup:tensorflow';

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
  const hint = `${setupCommand} installs and builds it`;
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
