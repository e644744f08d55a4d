// The promise, as tests that every engine has to pass on real processes: the same SHA-256 of all
// parameters, and of the generator's average, for any number of workers, across stops and resumes,
// and equal to the trainer that is written from the definition.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { checkpointPrefix } from '../../shared/checkpoint/manifest.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { sha256Of } from '../../shared/sha256.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { openBatches, runIn, testFolder, writeRuns } from './tiny-run.js';
import { lastLineOf } from './lockstep-command.js';
import { referenceSums, type ReferenceSums } from './reference-trainer.js';

/** Registers the tests. */
export function testAnyWorkers(
  name: 'onnx' | 'tensorflow',
  worlds: readonly number[],
  skip: false | string = false,
): void {
  const folder = testFolder();
  const engine = { name, threads: 1 } as const;
  before(() => writeRuns(folder, { six: { engine }, eight: { engine, steps: 8 } }));

  test(`any number of workers gives the reference trainer's bytes: ${name}`, { skip }, async () => {
    const expected = await referenceOf(runIn(folder, { engine }));
    if (name !== 'onnx')
      assert.notDeepEqual(expected, await referenceOf(runIn(folder)), 'bytes of its own');
    for (const workers of worlds) {
      const run = ['--workers', `${workers}`, '--run', `any-${workers}`];
      const { kind, step, world, sha256 } = await lastLineOf(
        ['train', '-f', 'six.yaml', ...run],
        folder,
      );
      assert.deepEqual(
        { kind, step, world, sha256 },
        { kind: 'finished', step: 6, world: workers, sha256: expected.sha256 },
      );
      assert.equal(await averageOf(folder, `any-${workers}`, 6), expected.average);
    }
  });

  test(
    `a run that is stopped and resumed on another world is the same: ${name}`,
    { skip },
    async () => {
      const train = (...args: string[]) => ['train', '-f', 'eight.yaml', ...args];
      const whole = await lastLineOf(train('--workers', '1', '--run', 'whole'), folder);
      const first = train('--workers', '3', '--run', 'parts', '--stop-after', '4');
      const stopped = await lastLineOf(first, folder, exitCodes.stopped);
      assert.deepEqual([stopped['kind'], stopped['step']], ['stopped', 4]);
      const resumed = await lastLineOf(['resume', 'parts', '--workers', '2'], folder);
      assert.deepEqual([resumed['step'], resumed['sha256']], [8, whole['sha256']]);
      const averages = await Promise.all(
        ['whole', 'parts'].map((run) => averageOf(folder, run, 8)),
      );
      assert.equal(averages[0], averages[1]);
      const checkpoint = await lastLineOf(['checkpoints', 'ls', 'parts'], folder);
      assert.match(String(checkpoint['fingerprint']), new RegExp(`^${name}/`));
    },
  );
}

/** What the reference trainer makes of six steps of a run. */
async function referenceOf(spec: RunSpec): Promise<ReferenceSums> {
  const { batchOf, close } = await openBatches(spec);
  try {
    return await referenceSums(spec, 6, batchOf);
  } finally {
    await close();
  }
}

/** SHA-256 of the values in the file of a checkpoint's average. */
async function averageOf(folder: string, run: string, step: number): Promise<string> {
  const checkpoint = join(folder, 'runs', run, checkpointPrefix(step));
  const file = await readFile(join(checkpoint, 'generator-average.safetensors'));
  return sha256Of(file.subarray(8 + Number(file.readBigUInt64LE(0))));
}
