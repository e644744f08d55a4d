// The promise, as tests that every engine has to pass on real processes: the same SHA-256 of all
// parameters, and of the generator's average, for any number of workers, across stops and resumes,
// and equal to the trainer that is written from the definition, or near to it.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { checkpointPrefix } from '../../shared/checkpoint/manifest.js';
import { isManifest, readManifest, readState } from '../../shared/checkpoint/read.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { sha256Of } from '../../shared/sha256.js';
import type { ExchangePrecision } from '../../shared/plan/step-vector.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { openStore } from '../../shared/store/open-store.js';
import { createSrganTask } from '../../task/srgan/task.js';
import { openBatches, runIn, testFolder, tinyRun, writeRuns, type RunChange } from './tiny-run.js';
import { lastLineOf } from './lockstep-command.js';
import { referenceSums, type ReferenceSums } from './reference-trainer.js';

/** Worlds that a run is trained in: so many workers, and flags of `lockstep train` for them. */
export type TrainingWorld = readonly [workers: number, ...flags: readonly string[]];

/** The engine under test: what its spec says, the worlds, and what else belongs to it. */
export interface EngineUnderTest {
  readonly engine: RunSpec['engine'];
  readonly worlds: readonly TrainingWorld[];
  readonly skip?: false | string;
  /**
   * Engines that compile a whole step round otherwise than the reference trainer, which has them
   * compute the gradients alone: their runs only come near to it.
   */
  readonly isNearReference?: boolean;
  /** What else is not the tiny run's, and its name. */
  readonly change?: RunChange;
  readonly what?: string;
  /** False: no run is stopped and resumed. */
  readonly resumes?: boolean;
}

/** Registers the tests. */
export function testAnyWorkers({ engine, worlds, skip = false, ...more }: EngineUnderTest): void {
  const folder = testFolder();
  const { name } = engine;
  const change = { ...more.change, engine };
  before(() => writeRuns(folder, { six: change, eight: { ...change, steps: 8 } }));

  const what = more.isNearReference === true ? 'the same bytes' : "the reference trainer's bytes";
  const under = more.what === undefined ? name : `${name}, ${more.what}`;
  test(`any number of workers gives ${what}: ${under}`, { skip }, async () => {
    const reference = await referenceOf(runIn(folder, change));
    if (name !== 'onnx' || more.change !== undefined)
      assert.notEqual(reference.sha256, (await referenceOf(runIn(folder))).sha256, 'own bytes');
    let expected: Pick<ReferenceSums, 'sha256' | 'average'> | undefined;
    if (more.isNearReference !== true) expected = reference;
    for (const [i, [workers, ...flags]] of worlds.entries()) {
      const run = `any-${i}`;
      if (i > 0) await giveExecutables(folder, 'any-0', run);
      const args = ['train', '-f', 'six.yaml', '--workers', `${workers}`, '--run', run, ...flags];
      const { kind, step, world, sha256 } = await lastLineOf(args, folder);
      expected ??= { sha256: String(sha256), average: await averageOf(folder, run, 6) };
      assert.deepEqual(
        { kind, step, world, sha256 },
        { kind: 'finished', step: 6, world: workers, sha256: expected.sha256 },
        args.join(' '),
      );
      assert.equal(await averageOf(folder, run, 6), expected.average);
    }
    if (more.isNearReference === true) await assertNear(folder, runIn(folder, change), reference);
  });

  if (more.resumes === false) return;
  test(
    `a run that is stopped and resumed on another world is the same: ${under}`,
    { skip },
    async () => {
      const train = (...args: string[]) => ['train', '-f', 'eight.yaml', ...args];
      for (const run of ['whole', 'parts']) await giveExecutables(folder, 'any-0', run);
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

/** The first run's parameters are where the reference's are, seen from where both began. */
async function assertNear(folder: string, spec: RunSpec, reference: ReferenceSums): Promise<void> {
  const { networks, initialParameters } = createSrganTask(spec);
  const store = openStore(`file://${folder}/runs/any-0`);
  const manifest = await readManifest(store, 6);
  assert.ok(isManifest(manifest));
  const { networks: trained } = await readState(store, manifest, networks);
  for (const [i, { name }] of networks.entries()) {
    const expected = reference.parameters[i];
    const way = distance(expected, initialParameters(name, spec.seed));
    const off = distance(expected, trained[name].parameters);
    assert.ok(off < 0.02 * way, `${name} went ${way}, and is ${off} from the reference`);
  }
}

function distance(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));
}

/** A run whose discriminator has a dense layer that is exchanged as factors. */
export function factoredRun(precision: ExchangePrecision): RunChange {
  const { discriminator } = tinyRun('file://nowhere');
  return {
    discriminator: { ...discriminator, hidden: 32 },
    exchange: { factored: 'auto', precision },
  };
}

/**
 * What a run has compiled, for another run of the same networks, where the engine keeps that: it
 * takes longer than all else.
 */
export async function giveExecutables(folder: string, from: string, to: string): Promise<void> {
  const [source, target] = [from, to].map((run) => join(folder, 'runs', run, 'executables'));
  if (existsSync(source)) await cp(source, target, { recursive: true });
}
