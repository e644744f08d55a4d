// Runs that start from trained weights: from another run's checkpoint or from a file, with the bytes
// that no number of workers changes, and what is refused before anything is written.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { planRun } from '../../../coordinator/edge/run-plan.js';
import { readStartingWeights } from '../../../inference/starting-weights.js';
import { isManifest, readManifest, readState } from '../../../shared/checkpoint/read.js';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/checkpoint/safetensors.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { OperatorError } from '../../../shared/problems.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { validateSpec } from '../../../shared/spec/validate.js';
import { openStore } from '../../../shared/store/open-store.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { lastLineOf } from '../../support/lockstep-command.js';
import { runIn, testFolder, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();
const source = `file://${folder}/runs/source`;
const file = join(folder, 'torch', 'model.safetensors');

const inFolder = (...args: string[]) => lastLineOf(args, folder);
const train = (run: string, ...args: string[]) => [
  'train',
  '-f',
  'six.yaml',
  '--run',
  run,
  ...args,
];
const stopped = (args: readonly string[]) => lastLineOf(args, folder, exitCodes.stopped);

/** The spec that starts from a place. */
function specFrom(generator: string, change: Partial<RunSpec> = {}): RunSpec {
  return { ...runIn(folder), ...change, init: { ...change.init, generator } };
}

/** What is said of a run that can't start so; planning writes nothing. */
async function refused(generator: string, change: Partial<RunSpec> = {}): Promise<string> {
  const error = await plan(specFrom(generator, change), 'refused').then(
    () => assert.fail('it was not refused'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof OperatorError, String(error));
  return error.message;
}

/** Plans a run as a coordinator does when it starts. */
async function plan(spec: RunSpec, run: string): Promise<RunSpec> {
  const store = openStore(`file://${folder}/runs/${run}`);
  const { record } = await planRun({
    ...{ run, store, storeOptions: {}, spec, ifExists: 'resume' },
    ...{ worldSize: 1, until: undefined, nowMs: 0 },
  });
  await store.close();
  return record.spec;
}

before(async () => {
  await writeRuns(folder, { six: {} });
  await stopped(train('source', '--stop-after', '5'));
  const { files } = await inFolder('export', 'source', '--format', 'pytorch', '--out', 'torch');
  assert.deepEqual(files, [join('torch', 'model.safetensors')]);
});

test('a run and the file for PyTorch hold the generator, its statistics included', async () => {
  const spec = runIn(folder);
  const store = openStore(source);
  const manifest = await readManifest(store, 5);
  assert.ok(isManifest(manifest));
  const { networks } = createSrganTask(spec);
  const state = await readState(store, manifest, networks);
  const { parameters, average, statistics } = state.networks['generator'];
  await store.close();
  for (const generator of [source, `${source}/checkpoints/step-00000005`, `file://${file}`]) {
    const weights = await readStartingWeights(spec, { generator }, {});
    assert.deepEqual(weights.parameters, average, generator);
    assert.deepEqual(weights.statistics, statistics, generator);
  }
  assert.notDeepEqual(average, parameters);
  assert.ok(statistics.some((value) => value !== 0 && value !== 1));
});

test('the bytes are the same for any number of workers, stops and kinds of places', async () => {
  const from = (place: string) => ['--set', `init.generator=${place}`];
  await stopped(train('parts', ...from(source), '--workers', '2', '--stop-after', '4'));
  // The source goes on, and what was pinned stays.
  const unlike = await inFolder('resume', 'source');
  const parts = await inFolder('resume', 'parts', '--workers', '1');
  const whole = await inFolder(...train('whole', ...from(`file://${file}`), '--workers', '3'));
  assert.equal(parts['sha256'], whole['sha256']);
  assert.notEqual(unlike['sha256'], whole['sha256']);
});

test('the checkpoint is pinned, and the spec that asked for it is still that of the run', async () => {
  const { init } = await plan(specFrom(source), 'parts');
  assert.equal(init?.generator, `${source}/checkpoints/step-00000005`);
  assert.match(init.sha256 ?? '', /^[0-9a-f]{64}$/);
  assert.deepEqual((await plan(specFrom(init.generator, { init }), 'new')).init, init);
  await assert.rejects(
    plan(specFrom(`file://${file}`), 'parts'),
    /another spec\n.*init\.generator: given .*model\.safetensors.* as the run has it/,
  );
});

test('weights that do not fit are refused with every tensor that does not', async () => {
  const generator = (change: Partial<RunSpec['generator']>) => {
    return { generator: { ...runIn(folder).generator, ...change } };
  };
  const wider = await refused(`file://${file}`, generator({ channels: 12 }));
  assert.match(wider, /conv_input\.weight: given \[8,3,9,9\]; allowed: \[12, 3, 9, 9\]/);
  assert.match(wider, /"\d+ more like these"/);
  const plain = await refused(source, generator({ normalization: 'none' }));
  assert.match(plain, /generator\/middle\/bias: missing; allowed: \[8\]/);
  assert.match(plain, /generator\/middle\/norm\/scale: given \[8\]; allowed: no such tensor/);
  const bare = await refused(`${source}/checkpoints/step-00000005/generator.safetensors`);
  assert.match(bare, /norm\/variance: missing/);
});

test('weights that are not there, are others, or are spoiled are refused', async () => {
  const init = { generator: '', sha256: '0'.repeat(64) };
  for (const place of [source, `file://${file}`])
    assert.match(
      await refused(place, { init }),
      /init\.sha256: given "0{64}"; allowed: [0-9a-f]{64} .*has changed since/,
    );
  assert.match(await refused(`file://${folder}/none`), /init\.generator: .*no checkpoint/);
  assert.match(await refused(`file://${folder}/x.safetensors`), /init\.generator: .*not there/);
  const step = `${source}/checkpoints/step-00000099`;
  assert.match(await refused(step), /init\.generator: .*step-00000099.*not there/);
  await writeFile(join(folder, 'torn.safetensors'), (await readFile(file)).subarray(0, -5));
  assert.match(await refused(`file://${folder}/torn.safetensors`), /not a safetensors file/);
  const tensors = [...decodeSafetensors(await readFile(file)).tensors.values()];
  tensors[0].data[3] = NaN;
  await writeFile(join(folder, 'nan.safetensors'), encodeSafetensors(tensors));
  assert.match(await refused(`file://${folder}/nan.safetensors`), /conv_input\.weight: given NaN/);
});

test('a file of PyTorch’s own is refused with its spec', () => {
  const validated = validateSpec(specFrom(`file://${folder}/x.pth`));
  assert.match(JSON.stringify(validated), /init\.generator.*convert it: python3/);
});

test('PyTorch’s counters and one slope for all channels are taken as they are', async () => {
  const path = join(folder, 'torch', 'foreign.safetensors');
  const tensors = [...decodeSafetensors(await readFile(file)).tensors.values()].map((tensor) =>
    tensor.name === 'prelu_input.weight'
      ? { ...tensor, shape: [1], data: Float32Array.of(0.125) }
      : tensor,
  );
  const body = encodeSafetensors([
    ...tensors,
    { name: 'bn_mid.num_batches_tracked', shape: [2], data: new Float32Array(2) },
  ]);
  // An int64 scalar takes the bytes of two floats.
  const counter = `"bn_mid.num_batches_tracked":{"dtype":"F32","shape":[2]`;
  const typed = `"bn_mid.num_batches_tracked":{"dtype":"I64","shape":[] `;
  assert.equal(counter.length, typed.length);
  await writeFile(path, body.toString('latin1').replace(counter, typed), 'latin1');
  const spec = runIn(folder);
  const weights = await readStartingWeights(spec, { generator: `file://${path}` }, {});
  assert.ok(weights.parameters.filter((value) => value === 0.125).length >= 8);
});
