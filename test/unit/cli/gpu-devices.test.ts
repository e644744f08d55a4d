// Which GPUs a worker is given, and how many devices it drives.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { afterEach, test } from 'node:test';
import { parseDevices } from '../../../cli/local/devices.js';
import { chooseDevices, parseGpus } from '../../../cli/local/gpus.js';
import { childEnvironment, showOnlyGpu } from '../../../shared/environment.js';
import { packageFile } from '../../../shared/paths.js';
import { devicesProblem } from '../../../shared/spec/engines.js';

const two = parseGpus('0, NVIDIA H100 80GB HBM3\n1, NVIDIA H100 80GB HBM3\n');

/** What `lockstep worker` says where no GPU is visible. */
const lockstep = (...args: string[]) =>
  spawnSync(
    process.execPath,
    [
      ...[packageFile('bin/lockstep.js'), 'worker', '--coordinator', '127.0.0.1:1'],
      ...['--id', 'w', ...args],
    ],
    { encoding: 'utf8', env: childEnvironment({ CUDA_VISIBLE_DEVICES: '' }) },
  );

afterEach(() => void delete process['env']['CUDA_VISIBLE_DEVICES']);

test('what nvidia-smi prints is a list of GPUs', () => {
  assert.deepEqual(two, [
    { id: '0', name: 'NVIDIA H100 80GB HBM3' },
    { id: '1', name: 'NVIDIA H100 80GB HBM3' },
  ]);
  assert.deepEqual(parseGpus('No devices were found\n'), []);
});

test('all are those of the machine, or those that the scheduler left', () => {
  assert.deepEqual(chooseDevices('all', two), ['0', '1']);
  assert.deepEqual(chooseDevices('1', two), ['1']);
  showOnlyGpu('GPU-8f,3');
  assert.deepEqual(chooseDevices('all', two), ['GPU-8f', '3']);
  assert.throws(
    () => chooseDevices('0', two),
    /--gpus: given "0"; allowed: all, or some of GPU-8f,3/,
  );
});

test('none, unknown ones and one named twice are refused', () => {
  assert.throws(() => chooseDevices('all', []), /a machine with a GPU: nvidia-smi lists none/);
  assert.throws(() => chooseDevices('0,2', two), /given "0,2"; allowed: all, or some of 0,1/);
  assert.throws(() => chooseDevices('1,1', two), /each once/);
  assert.throws(() => chooseDevices('', two), /given ""/);
  showOnlyGpu('-1');
  assert.throws(() => chooseDevices('all', two), /nvidia-smi lists none/);
});

test('lockstep worker --gpus refuses a machine without GPUs, and other providers', () => {
  const none = lockstep('--gpus', 'all');
  assert.equal(none.status, 78);
  assert.match(none.stderr, /these GPUs can not be used/);
  const other = lockstep('--gpus', '0', '--provider', 'webgpu');
  assert.equal(other.status, 78);
  assert.match(other.stderr, /--provider: given "webgpu"; allowed: cuda, with --gpus/);
});

test('--devices is a number or all, not beside --gpus, and more than one for xla only', () => {
  assert.deepEqual(['1', '4', 'all'].map(parseDevices), [1, 4, 'all']);
  for (const wrong of ['0', '', '65', '1.5', 'two'])
    assert.throws(() => parseDevices(wrong), /--devices: .*all, or a number from 1 to 64/, wrong);
  const both = lockstep('--gpus', '0', '--devices', '2');
  assert.equal(both.status, 78);
  assert.match(both.stderr, /--devices: given "2"; allowed: 1 with --gpus/);
  assert.equal(devicesProblem('xla', 'all'), undefined);
  assert.match(JSON.stringify(devicesProblem('onnx', 2)), /engine\.name xla drives several/);
});
