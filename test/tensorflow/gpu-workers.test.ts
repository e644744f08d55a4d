// `lockstep worker --gpus`: one process a device, each with its own name and port; without real
// GPUs they can't compute, which is what they must say.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitCodes } from '../../shared/exit-codes.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';
import { runLockstep, startLockstep } from '../support/lockstep-command.js';
import { skipWithoutTensorflow } from '../support/servers.js';

test(
  'each GPU gets a worker, none of which computes on the CPU instead',
  { skip: skipWithoutTensorflow },
  async () => {
    const folder = testFolder();
    await writeRuns(folder, { run: { engine: { name: 'tensorflow', threads: 1 } } });
    const leading = ['coordinator', '-f', 'run.yaml', '--run', 'gpus', '--workers', '2', '--json'];
    const coordinator = startLockstep([...leading, '--listen', '127.0.0.1:0'], folder);
    const { address } = await coordinator.line('listening');
    const join2 = ['worker', '--coordinator', String(address), '--id', 'node', '--gpus', 'all'];
    const visible = { CUDA_VISIBLE_DEVICES: '4,7' };
    const workers = await runLockstep(join2, folder, visible);
    assert.equal(workers.code, exitCodes.configuration, workers.stderr);
    assert.match(workers.stderr, /node-gpu[01]: TensorFlow finds no GPU, and one was asked for/);
    const { code, lines } = await coordinator.result;
    assert.equal(code, exitCodes.configuration);
    assert.match(String(lines.at(-1)?.['reason']), /finds no GPU/);
  },
);
