// Where the package's own files lie (proto, presets, manifests), seen from the compiled code.

import { fileURLToPath } from 'node:url';

/** Absolute path of a file of the package, given relative to its root ("proto/..."). */
export function packageFile(relative: string): string {
  return fileURLToPath(new URL(`../../${relative}`, import.meta.url));
}
