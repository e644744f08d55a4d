// The set-up of the TensorFlow engine where something is missing: what it says then.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { runProgram } from '../../../cli/processes.js';
import { findLibrary } from '../../../cli/setup/tensorflow-addon.js';
import { unpackWheels } from '../../../cli/setup/tensorflow-wheels.js';
import { OperatorError } from '../../../shared/problems.js';
import { missingCudaLibraries } from '../../../worker/engine/tensorflow/addon.js';

let folder: string;
before(async () => (folder = await mkdtemp(join(tmpdir(), 'lockstep-setup-'))));
after(() => rm(folder, { recursive: true }));

async function touch(...parts: string[]): Promise<void> {
  const path = join(folder, ...parts);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, '');
}

test('a library is found in an unpacked wheel and in an unpacked C library', async () => {
  const header = ['include', 'tensorflow', 'c', 'eager', 'c_api.h'];
  await touch('wheel', 'tensorflow', 'libtensorflow_cc.so.2');
  await touch('wheel', 'tensorflow', 'libtensorflow_framework.so.2');
  await touch('wheel', 'tensorflow', ...header);
  for (const given of [join(folder, 'wheel'), join(folder, 'wheel', 'tensorflow')])
    assert.deepEqual(findLibrary(given), {
      folder: join(folder, 'wheel', 'tensorflow'),
      include: join(folder, 'wheel', 'tensorflow', 'include'),
      objects: ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'],
    });
  await touch('c', 'lib', 'libtensorflow.so.2');
  await touch('c', 'lib', 'libtensorflow_framework.so.2');
  assert.throws(() => findLibrary(join(folder, 'c')), /without include\/tensorflow\/c\/eager/);
  await touch('c', ...header);
  assert.equal(findLibrary(join(folder, 'c')).objects[0], 'libtensorflow.so.2');
  assert.throws(() => findLibrary(folder), /--library: given .* without libtensorflow_framework/);
});

test('a program that is missing is named, with what to install', async () => {
  await assert.rejects(
    runProgram('no-such-compiler', ['-c'], { whenMissing: 'apt-get install g++' }),
    (error: unknown) =>
      error instanceof OperatorError &&
      /no-such-compiler: missing; .*\(apt-get install g\+\+\)/.test(error.message),
  );
});

test('a program that fails is shown with its last words and what it needs', async () => {
  const script = 'console.log("first"); console.error("no route to host"); process.exit(3)';
  const options = { whenMissing: '', whenFailed: 'a network' };
  await assert.rejects(runProgram(process.execPath, ['-e', script], options), (error: unknown) => {
    const { message } = error as Error;
    return (
      /ended with 3/.test(message) && /no route to host/.test(message) && /a network/.test(message)
    );
  });
  assert.equal(await runProgram(process.execPath, ['-p', '1+1'], options), '2');
});

test('wheels that are no wheels leave nothing behind', async () => {
  await writeFile(join(folder, 'broken.whl'), 'this is no archive');
  const target = join(folder, 'cache', 'tensorflow');
  const options = { isGpu: false, wheels: [join(folder, 'broken.whl')], say: () => undefined };
  await assert.rejects(unpackWheels(target, options), OperatorError);
  assert.throws(() => findLibrary(target));
});

test('CUDA libraries that are nowhere are listed, those in the folder are not', async () => {
  await touch('cuda', 'libcudart.so.12');
  const missing = missingCudaLibraries(join(folder, 'cuda'));
  assert.ok(!missing.includes('libcudart.so.12'));
  assert.ok(missing.every((name) => /^lib(cu|nccl)/.test(name)));
});
