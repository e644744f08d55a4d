// Where the package's own files lie (proto, presets, manifests), seen from the compiled code.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Absolute path of a file of the package, given relative to its root ("proto/..."). */
export function packageFile(relative: string): string {
  return fileURLToPath(new URL(`../../${relative}`, import.meta.url));
}

/** The version of this package. */
export function packageVersion(): string {
  const text = readFileSync(packageFile('package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** "0.1.0", and "0.1.0 (commit 1f2e3d4c5b6a)" where the package lies in its repository. */
export function packageOrigin(): string {
  const commit = checkedOutCommit();
  return packageVersion() + (commit === undefined ? '' : ` (commit ${commit.slice(0, 12)})`);
}

function checkedOutCommit(): string | undefined {
  const read = (file: string): string => readFileSync(packageFile(`.git/${file}`), 'utf8').trim();
  try {
    const head = read('HEAD');
    const commit = head.startsWith('ref: refs/') ? read(head.slice('ref: '.length)) : head;
    return /^[0-9a-f]{40}$/.test(commit) ? commit : undefined;
  } catch {
    // No repository, or one whose branches are packed away.
    return undefined;
  }
}
