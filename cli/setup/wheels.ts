// Wheels of Python's packages as archives of native libraries: downloaded by pip for any Python,
// since none of it is run, and unpacked into a folder that is there whole or not at all.

import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from '../../shared/local-files.js';
import { runProgram } from '../processes.js';

const python = 'python3';
const pythonMissing = 'install Python 3 with pip (Debian: apt-get install python3-pip)';
const pipFailed =
  'a pip that reaches PyPI or its mirror (PIP_INDEX_URL); else files of yours, as --help says';

/**
 * Keeps the right to execute, which Python's own extraction drops, and of every wheel its metadata,
 * by which bin/sbom.js knows what an image holds.
 */
const unpackScript = `
import os, sys, zipfile
wheel, folder, *members = sys.argv[1:]
with zipfile.ZipFile(wheel) as z:
    for one in z.infolist():
        wanted = not members or one.filename.startswith(tuple(members))
        if wanted or one.filename.endswith('.dist-info/METADATA'):
            path = z.extract(one, folder)
            if (one.external_attr >> 16) & 0o111: os.chmod(path, 0o755)
`;

/** Downloads requirements ("name==1.0") of PyPI into a folder, without what they require. */
export async function downloadWheels(
  into: string,
  requirements: readonly string[],
): Promise<string[]> {
  const abi = ['--python-version=3.12', '--implementation=cp', '--abi=cp312', '--abi=none'];
  const platforms = platformTags().map((tag) => `--platform=${tag}`);
  const kind = ['--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '--quiet'];
  const args = ['-m', 'pip', 'download', ...kind, ...abi, ...platforms, '--dest', into];
  await runProgram(python, [...args, ...requirements], {
    whenMissing: pythonMissing,
    whenFailed: pipFailed,
  });
  return (await readdir(into)).map((name) => join(into, name)).sort();
}

/** Newest first: most are built for glibc 2.27, some of NVIDIA's for older ones too. */
function platformTags(): string[] {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const versions = ['2_28', '2_27', '2_25', '2_24', '2_17', '2_14', '2_12', '2_5'];
  const glibc = versions.map((version) => `manylinux_${version}_${machine}`);
  return [
    ...glibc,
    `manylinux2014_${machine}`,
    `manylinux2010_${machine}`,
    `manylinux1_${machine}`,
  ];
}

/** Unpacks what starts with one of `members` (none: all) out of a wheel. */
export async function unpackWheel(
  wheel: string,
  into: string,
  members: readonly string[] = [],
): Promise<void> {
  await runPython([unpackScript, wheel, into, ...members]);
}

/** Runs a script with its arguments; gives what it printed. */
export function runPython(scriptAndArgs: readonly string[]): Promise<string> {
  return runProgram(python, ['-c', ...scriptAndArgs], { whenMissing: pythonMissing });
}

/** Has `fill` fill a new folder beside `folder`, which then takes its name. */
export async function fillFolder(
  folder: string,
  fill: (unpacked: string, wheels: string) => Promise<void>,
): Promise<void> {
  await makeFolder(dirname(folder));
  const scratch = await mkdtemp(join(dirname(folder), `.${basename(folder)}-`));
  try {
    await fill(join(scratch, 'unpacked'), join(scratch, 'wheels'));
    await rename(join(scratch, 'unpacked'), folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
