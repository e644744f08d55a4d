// A TensorFlow library on this machine: which shared objects an addon is linked to, and the
// headers it is built with.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { OperatorError } from '../../shared/problems.js';

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
