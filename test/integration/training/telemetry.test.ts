// A run tells nobody of itself: ONNX Runtime's telemetry, which leaves a file for each process that
// it is on in, stays off in the coordinator and in the workers, whatever the environment says.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();

before(() => writeRuns(folder, { six: {} }));

test('no process of a run starts the telemetry of ONNX Runtime', async () => {
  const temporary = join(folder, 'temporary');
  mkdirSync(temporary);
  const environment = { TMPDIR: temporary, ORT_DISABLE_TELEMETRY: undefined };
  const args = ['train', '-f', 'six.yaml', '--workers', '2', '--json'];
  const { code, stderr } = await runLockstep(args, folder, environment);
  assert.equal(code, exitCodes.ok, stderr);
  const left = readdirSync(temporary).filter((name) => name.startsWith('mat-debug'));
  assert.deepEqual(left, []);
});
