// npm run licences [-- --json]
// Whether the licence of every package in package-lock.json is one that we may ship or use. What a
// package says in SPDX's words decides; one that says nothing, or something else, needs a line here
// with the reason. Ends non-zero when a package has neither.

import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { pathToFileURL } from 'node:url';
import { packageFile } from '../../shared/paths.js';

/** Licences that ask for a notice at most, by SPDX's ids. */
const allowedIds: ReadonlySet<string> = new Set([
  ...['MIT', 'ISC', '0BSD', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0'],
  ...['CC0-1.0', 'Unlicense', 'Python-2.0'],
]);

interface LicenceException {
  readonly name: RegExp;
  /** What the package says of itself now; when it says something else, it is judged anew. */
  readonly licence: RegExp;
  readonly isForTestsOnly?: true;
  readonly why: string;
}

/** Packages with another licence, or none in SPDX's words, and why they may be there. */
const exceptions: readonly LicenceException[] = [
  {
    name: /^@img\/sharp-(libvips-)?[a-z0-9-]+$/,
    licence: /^(Apache-2\.0 AND )?LGPL-3\.0-or-later( AND MIT)?$/,
    why: 'libvips is a library of its own that anybody may replace; it is shipped unchanged',
  },
  {
    name: /^h5wasm$/,
    licence: /^SEE LICENSE IN LICENSE\.txt$/,
    why: "NIST's notice and HDF5's BSD licence: use and copies are free, notices stay",
  },
  { name: /^axe-core$/, licence: /^MPL-2\.0$/, isForTestsOnly: true, why: 'no copy is shipped' },
  {
    name: /^(humanize-number|only)$/,
    licence: /^none$/,
    isForTestsOnly: true,
    why: 'MIT by its readme; s3rver brings it',
  },
];

/** A package as a lockfile has it. */
export interface LockedPackage {
  readonly license?: string;
  readonly dev?: boolean;
  readonly version?: string;
}

/** What is thought of a package's licence. */
export interface LicenceVerdict {
  readonly name: string;
  readonly licence: string;
  readonly isAllowed: boolean;
  /** Of an exception. */
  readonly why?: string;
}

/**
 * Judges the packages of a lockfile by their paths in it ("node_modules/a/node_modules/b").
 * `installedLicence` is asked for a package of which the lockfile says nothing.
 */
export function judgeLicences(
  packages: Readonly<Record<string, LockedPackage>>,
  installedLicence: (path: string) => string | undefined,
): LicenceVerdict[] {
  return Object.entries(packages)
    .filter(([path]) => path !== '')
    .map(([path, { license, dev = false }]) => {
      const name = path.replace(/^.*node_modules\//, '');
      const licence = license ?? installedLicence(path) ?? 'none';
      if (isFree(licence)) return { name, licence, isAllowed: true };
      const why = exceptions.find(
        (one) =>
          one.name.test(name) &&
          one.licence.test(licence) &&
          (dev || one.isForTestsOnly === undefined),
      )?.why;
      return { name, licence, isAllowed: why !== undefined, ...(why === undefined ? {} : { why }) };
    });
}

/** Whether an SPDX expression leaves us a choice of allowed licences only. */
export function isFree(expression: string): boolean {
  const words = expression.match(/[()]|[^\s()]+/g) ?? [];
  let at = 0;
  const operand = (): boolean => {
    const word = words[at++];
    if (word !== '(') return word !== undefined && allowedIds.has(word);
    const inner = either();
    return words[at++] === ')' && inner;
  };
  const both = (): boolean => {
    let isAllowed = operand();
    while (words[at] === 'AND') {
      at += 1;
      isAllowed = operand() && isAllowed;
    }
    return isAllowed;
  };
  const either = (): boolean => {
    let isAllowed = both();
    while (words[at] === 'OR') {
      at += 1;
      isAllowed = both() || isAllowed;
    }
    return isAllowed;
  };
  const isAllowed = either();
  // What could not be read, for example "SEE LICENSE IN x" or "MIT WITH y", is not known.
  return isAllowed && at === words.length;
}

/** What the package itself says, also in the old form of a list. */
export function licenceOfInstalled(path: string): string | undefined {
  try {
    const { license, licenses } = JSON.parse(
      readFileSync(packageFile(`${path}/package.json`), 'utf8'),
    ) as { license?: unknown; licenses?: readonly { readonly type?: string }[] };
    if (typeof license === 'string') return license;
    const types = (licenses ?? []).map(({ type }) => type).filter((type) => type !== undefined);
    return types.length === 0 ? undefined : `(${types.join(' OR ')})`;
  } catch {
    return undefined;
  }
}

/** All packages that this repository locks. */
export function lockedPackages(): Readonly<Record<string, LockedPackage>> {
  const text = readFileSync(packageFile('package-lock.json'), 'utf8');
  return (JSON.parse(text) as { packages: Record<string, LockedPackage> }).packages;
}

function main(isJson: boolean): void {
  const verdicts = judgeLicences(lockedPackages(), licenceOfInstalled);
  const refused = verdicts.filter(({ isAllowed }) => !isAllowed);
  if (isJson) process.stdout.write(`${JSON.stringify(verdicts)}\n`);
  else {
    for (const { name, licence, why } of verdicts)
      if (why !== undefined) process.stdout.write(`${name}: ${licence} (${why})\n`);
    for (const { name, licence } of refused)
      process.stdout.write(`${name}: ${licence} is not among the licences that we may use\n`);
    const kinds = new Set(verdicts.map(({ licence }) => licence)).size;
    const end = `${verdicts.length} packages, ${kinds} licences, ${refused.length} not allowed`;
    process.stdout.write(`${end}\n`);
  }
  process.exitCode = refused.length === 0 ? 0 : 1;
}

if (isMainThread && import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  main(process.argv.includes('--json'));
