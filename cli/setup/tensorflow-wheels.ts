// TensorFlow's library out of the wheels on PyPI: two shared objects and a few headers; for GPUs
// also NVIDIA's own libraries. Wheels are downloaded for any Python, since none of it is run.

import { mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from '../../shared/local-files.js';
import { runProgram } from '../processes.js';

/** The TensorFlow that Lockstep is tried with. */
export const tensorflowVersion = '2.21.0';

const python = 'python3';
const pythonMissing = 'install Python 3 with pip (Debian: apt-get install python3-pip)';
const pipFailed =
  'a pip that reaches PyPI or its mirror (PIP_INDEX_URL); else --wheel FILE or --library FOLDER';

/** What is taken out of a wheel; the addon includes these headers and no others. */
const members = [
  'tensorflow/libtensorflow_cc.so.2',
  'tensorflow/libtensorflow_framework.so.2',
  'tensorflow/include/tensorflow/c/',
  'tensorflow/include/tensorflow/core/platform/',
  'tensorflow/include/tsl/platform/',
  'tensorflow/include/xla/tsl/c/',
  'nvidia/',
];

const unpackScript = `
import sys, zipfile
wheel, folder, *members = sys.argv[1:]
with zipfile.ZipFile(wheel) as z:
    z.extractall(folder, [n for n in z.namelist() if n.startswith(tuple(members))])
`;

/** Prints the requirements of a wheel's extra, one a line. */
const requirementsScript = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    name = next(n for n in z.namelist() if n.endswith('.dist-info/METADATA'))
    for line in z.read(name).decode().splitlines():
        if line.startswith('Requires-Dist:') and 'and-cuda' in line:
            print(line.split(':', 1)[1].split(';')[0].strip())
`;

export interface WheelOptions {
  readonly isGpu: boolean;
  /** Wheels that lie on this machine; undefined: from PyPI. */
  readonly wheels: readonly string[] | undefined;
  readonly say: (text: string) => void;
}

/**
 * Puts the library into `folder`, whole or not at all: libtensorflow_cc.so.2 and its neighbours,
 * with `include` beside them. A folder that is there already is taken as it is.
 */
export async function unpackWheels(folder: string, options: WheelOptions): Promise<void> {
  await makeFolder(dirname(folder));
  const scratch = await mkdtemp(join(dirname(folder), '.unpacking-'));
  try {
    const wheels = options.wheels ?? (await downloadWheels(join(scratch, 'wheels'), options));
    const unpacked = join(scratch, 'unpacked');
    for (const wheel of wheels) {
      options.say(`unpacking ${basename(wheel)}`);
      await runPython([unpackScript, wheel, unpacked, ...members]);
    }
    const library = join(unpacked, 'tensorflow');
    await linkNvidia(join(unpacked, 'nvidia'), library);
    await rename(unpacked, folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function downloadWheels(into: string, { isGpu, say }: WheelOptions): Promise<string[]> {
  const requirement = `${isGpu ? 'tensorflow' : 'tensorflow-cpu'}==${tensorflowVersion}`;
  say(`downloading ${requirement} (about ${isGpu ? '600' : '275'} MB)`);
  await download(into, [requirement]);
  const [wheel] = await readdir(into);
  if (isGpu) {
    const listed = await runPython([requirementsScript, join(into, wheel)]);
    const requirements = listed.split('\n').filter((line) => line !== '');
    say(`downloading CUDA 12 and cuDNN 9: ${requirements.length} wheels (about 2 GB)`);
    await download(into, requirements);
  }
  return (await readdir(into)).map((name) => join(into, name)).sort();
}

function download(into: string, requirements: readonly string[]): Promise<string> {
  const abi = ['--python-version=3.11', '--implementation=cp', '--abi=cp311', '--abi=none'];
  const platforms = platformTags().map((tag) => `--platform=${tag}`);
  const kind = ['--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '--quiet'];
  const args = ['-m', 'pip', 'download', ...kind, ...abi, ...platforms, '--dest', into];
  return runProgram(python, [...args, ...requirements], {
    whenMissing: pythonMissing,
    whenFailed: pipFailed,
  });
}

/** Newest first; TensorFlow's wheels are built for glibc 2.27, NVIDIA's for older ones too. */
function platformTags(): string[] {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const glibc = ['2_27', '2_24', '2_17', '2_14', '2_5'].map((v) => `manylinux_${v}_${machine}`);
  return [...glibc, `manylinux2014_${machine}`, `manylinux1_${machine}`];
}

function runPython(scriptAndArgs: readonly string[]): Promise<string> {
  return runProgram(python, ['-c', ...scriptAndArgs], { whenMissing: pythonMissing });
}

/** Links NVIDIA's libraries beside TensorFlow's, which looks for them there ($ORIGIN). */
async function linkNvidia(from: string, library: string): Promise<void> {
  for (const part of await readdir(from).catch(() => [])) {
    const libraries = await readdir(join(from, part, 'lib')).catch(() => []);
    for (const name of libraries.filter((name) => name.includes('.so')))
      await symlink(join('..', 'nvidia', part, 'lib', name), join(library, name));
  }
}
