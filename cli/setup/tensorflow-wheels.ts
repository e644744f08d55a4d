// TensorFlow's library out of the wheels on PyPI: two shared objects and a few headers; for GPUs
// also NVIDIA's own libraries.

import { readdir, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { downloadWheels, fillFolder, runPython, unpackWheel } from './wheels.js';

/** The TensorFlow that Lockstep is tried with. */
export const tensorflowVersion = '2.21.0';

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
  await fillFolder(folder, async (unpacked, scratch) => {
    for (const wheel of options.wheels ?? (await download(scratch, options))) {
      options.say(`unpacking ${basename(wheel)}`);
      await unpackWheel(wheel, unpacked, members);
    }
    await linkNvidia(join(unpacked, 'nvidia'), join(unpacked, 'tensorflow'));
  });
}

async function download(into: string, { isGpu, say }: WheelOptions): Promise<string[]> {
  const requirement = `${isGpu ? 'tensorflow' : 'tensorflow-cpu'}==${tensorflowVersion}`;
  say(`downloading ${requirement} (about ${isGpu ? '600' : '275'} MB)`);
  const [wheel = ''] = await downloadWheels(into, [requirement]);
  if (!isGpu) return [wheel];
  const listed = await runPython([requirementsScript, wheel]);
  const requirements = listed.split('\n').filter((line) => line !== '');
  say(`downloading CUDA 12 and cuDNN 9: ${requirements.length} wheels (about 2 GB)`);
  return downloadWheels(into, requirements);
}

/** Links NVIDIA's libraries beside TensorFlow's, which looks for them there ($ORIGIN). */
async function linkNvidia(from: string, library: string): Promise<void> {
  for (const part of await readdir(from).catch(() => [])) {
    const libraries = await readdir(join(from, part, 'lib')).catch(() => []);
    for (const name of libraries.filter((name) => name.includes('.so')))
      await symlink(join('..', 'nvidia', part, 'lib', name), join(library, name));
  }
}
