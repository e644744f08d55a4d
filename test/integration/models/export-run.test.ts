import { loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterEach, before, beforeEach, test } from 'node:test';
import sharp from 'sharp';
import yargs from 'yargs';
import { exportCommand } from '../../../cli/commands/export.js';
import { upscaleCommand } from '../../../cli/commands/upscale.js';
import { loadJudgedRun } from '../../../inference/evaluation/evaluate.js';
import { exportRun } from '../../../inference/export-run.js';
import { loadNetwork } from '../../../inference/onnx-network.js';
import { commitManifest, storePart } from '../../../shared/checkpoint/write.js';
import { writeBest } from '../../../shared/checkpoint/best.js';
import { parametersSha256 } from '../../../shared/checkpoint/digests.js';
import { partsOf } from '../../../shared/checkpoint/parts.js';
import { encodePart } from '../../support/two-networks.js';
import { checkpointPrefix } from '../../../shared/checkpoint/manifest.js';
import type { NetworkState } from '../../../shared/checkpoint/state.js';
import { OperatorError } from '../../../shared/problems.js';
import { createRunRecord } from '../../../shared/spec/record.js';
import { specDigest } from '../../../shared/spec/compare.js';
import { openStore } from '../../../shared/store/open-store.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { tinySpec } from '../../support/engine/srgan-specs.js';

/** With an average of the generator, which is what is exported. */
const spec = { ...tinySpec(), ema: 0.9 };
const task = createSrganTask(spec);
const createdAt = new Date(0).toISOString();
let folder: string;
let store: ObjectStore;

before(loadReferenceBackend);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-export-run-'));
  store = openStore(`file://${folder}/run`);
  await createRunRecord(store, { format: 'lockstep-run/1', run: 'run', spec, createdAt });
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

/** A checkpoint: what is to be exported started from the step's number as its seed. */
async function saveCheckpoint(step: number, { ema } = spec): Promise<void> {
  const own = { ...spec, ema };
  const task = createSrganTask(own);
  const states = task.networks.map(({ name }): [string, NetworkState] => {
    const values = task.initialParameters(name, step);
    const zeros = () => new Float32Array(values.length);
    const isAveraged = ema > 0 && name === task.inference.network;
    return [
      name,
      {
        parameters: isAveraged ? task.initialParameters(name, step + 100) : values,
        firstMoment: zeros(),
        secondMoment: zeros(),
        statistics: task.initialStatistics(name),
        average: isAveraged ? values : new Float32Array(0),
        updates: step,
      },
    ];
  });
  const networks = Object.fromEntries(states);
  const parts = [];
  for (const part of partsOf(task.networks)) {
    const network = task.networks.find(({ name }) => name === part.network)!;
    parts.push(await storePart(store, step, encodePart(part, network, networks[part.network])));
  }
  await commitManifest(store, {
    ...{
      format: 'lockstep-checkpoint/1',
      run: 'run',
      step,
      spec: own,
      specSha256: specDigest(own),
    },
    ...{ datasetIndexSha256: '0'.repeat(64), fingerprint: 'test', worldSize: 1, parts, createdAt },
    updates: Object.fromEntries(states.map(([name]) => [name, step])),
    parametersSha256: parametersSha256(states.map(([, { parameters }]) => parameters)),
  });
}

const pixels = Float32Array.from({ length: 6 * 5 * 3 }, (_, i) => (i % 17) / 17);

async function outputOf(file: string): Promise<Float32Array> {
  const network = await loadNetwork(file, 1);
  try {
    return await network.run(pixels, 6, 5);
  } finally {
    await network.close();
  }
}

function expectedAt(step: number): Float32Array {
  const inputs: Record<string, tf.Tensor> = { input: tf.tensor4d(pixels, [1, 6, 5, 3]) };
  const network = task.networks[0];
  const values = task.initialParameters('generator', step);
  let at = 0;
  for (const { name, shape } of network.parameters) {
    const size = shape.reduce((a, b) => a * b);
    inputs[name] = tf.tensor(values.slice(at, at + size), [...shape]);
    at += size;
  }
  for (const { name, shape } of network.statistics)
    inputs[name] = name.endsWith('mean') ? tf.zeros([...shape]) : tf.ones([...shape]);
  return task.inference.run(inputs).dataSync() as Float32Array;
}

function distance(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0);
}

test('the newest whole checkpoint is exported, or the one asked for', async () => {
  for (const step of [2, 4, 6]) await saveCheckpoint(step);
  await writeFile(join(folder, 'run', checkpointPrefix(6), 'generator.safetensors'), 'torn');
  const request = { store, format: 'onnx', folder: join(folder, 'out'), isForced: false } as const;
  const newest = await exportRun(request);
  assert.deepEqual([newest.run, newest.step], ['run', 4]);
  assert.deepEqual(
    newest.passedOver.map(({ step }) => step),
    [6],
  );
  assert.deepEqual(newest.files, [join(folder, 'out', 'model.onnx')]);
  assert.ok(distance(await outputOf(newest.files[0]), expectedAt(4)) < 1e-4);
  await assert.rejects(exportRun({ ...request, step: 2 }), /model\.onnx.*--force/);
  assert.ok(distance(await outputOf(newest.files[0]), expectedAt(4)) < 1e-4);
  await exportRun({ ...request, step: 2, isForced: true });
  assert.ok(distance(await outputOf(newest.files[0]), expectedAt(2)) < 1e-4);
  assert.ok(distance(expectedAt(4), expectedAt(2)) > 1e-2);
});

test('the best checkpoint is exported where one is noted', async () => {
  for (const step of [2, 4]) await saveCheckpoint(step);
  const out = join(folder, 'out');
  const request = { store, format: 'onnx', folder: out, isForced: false, step: 'best' } as const;
  await assert.rejects(exportRun(request), /no such run|no best checkpoint/);
  await writeBest(store, { step: 2, metric: 'ssim', value: 0.9 });
  assert.equal((await exportRun(request)).step, 2);
});

test('a run without an average gives its parameters', async () => {
  await saveCheckpoint(2, { ...spec, ema: 0 });
  const folderOut = join(folder, 'out');
  const result = await exportRun({ store, format: 'onnx', folder: folderOut, isForced: false });
  assert.ok(distance(await outputOf(result.files[0]), expectedAt(2)) < 1e-4);
});

test('a run is judged by what would be exported of it', async () => {
  for (const step of [2, 4]) await saveCheckpoint(step);
  const model = await loadJudgedRun(store, undefined, 1);
  assert.deepEqual([model.name, model.step], [store.url, 4]);
  const made = await model.network.run(pixels, 6, 5);
  await model.network.close();
  assert.ok(distance(made, expectedAt(4)) < 1e-4);
  await assert.rejects(loadJudgedRun(store, 3, 1), /there are: 2, 4/);
});

test("the TF.js model's files load from their folder", async () => {
  await saveCheckpoint(2);
  const result = await exportRun({
    ...{ store, format: 'tfjs', folder: join(folder, 'web') },
    isForced: false,
  });
  assert.deepEqual(
    result.files,
    ['model.json', 'weights.bin'].map((file) => join(folder, 'web', file)),
  );
  const model = await loadGraphModel(folderHandler(join(folder, 'web')));
  const output = model.predict(tf.tensor4d(pixels, [1, 6, 5, 3])) as tf.Tensor;
  assert.deepEqual(output.shape, [1, 24, 20, 3]);
  assert.ok(distance(output.dataSync() as Float32Array, expectedAt(2)) < 1e-4);
});

/** Loads as a browser would: model.json, then the files it names. */
function folderHandler(path: string): tf.io.IOHandler {
  return {
    load: async () => {
      const json = JSON.parse(await readFile(join(path, 'model.json'), 'utf8')) as tf.io.ModelJSON;
      return tf.io.getModelArtifactsForJSON(json, async (manifest) => {
        const [group] = manifest;
        const data = await readFile(join(path, group.paths[0]));
        return [group.weights, Uint8Array.from(data).buffer];
      });
    },
  };
}

test('a page has the same model beside it, and is to be opened last', async () => {
  await saveCheckpoint(4);
  const place = { store, isForced: false };
  const tfjs = await exportRun({ ...place, format: 'tfjs', folder: join(folder, 'tfjs') });
  const web = await exportRun({ ...place, format: 'web', folder: join(folder, 'web') });
  assert.equal(web.files[0], join(folder, 'web', 'index.html'));
  const textOf = (...path: string[]) => readFile(join(folder, ...path), 'latin1');
  for (const name of ['model.json', 'weights.bin'])
    assert.equal(await textOf('web', 'model', name), await textOf('tfjs', name));
  assert.equal(tfjs.files.length, 2);
  assert.equal(JSON.parse(await textOf('web', 'settings.json')).model, 'run');
  // Everything that a page names is there.
  const names = web.files.map((file) => relative(join(folder, 'web'), file));
  for (const file of names.filter((name) => /\.(html|js)$/.test(name) && !/\.min\./.test(name)))
    for (const [, link = ''] of (await textOf('web', file)).matchAll(
      /(?: src=|href=|from |import |URL\()["'](?:\.\/)?([\w/.-]+\.\w+)["']/g,
    ))
      assert.ok(names.includes(join(dirname(file), link)), `${file}: ${link}`);
  assert.ok(web.bytes < 2_500_000, `${web.bytes} bytes`);
});

test('what is not there is an operator’s mistake', async () => {
  const request = { store, format: 'onnx', folder: join(folder, 'out'), isForced: false } as const;
  const refused = (message: RegExp) => (error: unknown) => {
    assert.ok(error instanceof OperatorError, String(error));
    assert.match(error.message, message);
    return true;
  };
  await assert.rejects(exportRun(request), refused(/whole checkpoint.*resume/s));
  await saveCheckpoint(2);
  await assert.rejects(exportRun({ ...request, step: 3 }), refused(/there are: 2/));
  const nowhere = openStore(`file://${folder}/nowhere`);
  await assert.rejects(exportRun({ ...request, store: nowhere }), refused(/no such run/));
});

test('the commands: export a run, upscale a picture', async () => {
  await saveCheckpoint(2);
  const cli = () => yargs().command(exportCommand).command(upscaleCommand).strict().fail(false);
  const out = join(folder, 'cli');
  await cli().parseAsync([
    'export',
    `file://${folder}/run`,
    '--format',
    'onnx',
    '--out',
    out,
    '--json',
  ]);
  const input = join(folder, 'in.png');
  const black = { width: 31, height: 17, channels: 3, background: '#123' } as const;
  await sharp({ create: black }).png().toFile(input);
  const [model, output] = [join(out, 'model.onnx'), join(folder, 'out.png')];
  const upscale = ['upscale', input, '--model', model, '--out', output];
  await cli().parseAsync([...upscale, '--tile', '16', '--json']);
  const { width, height } = await sharp(output).metadata();
  assert.deepEqual([width, height], [124, 68]);
  await assert.rejects(
    cli().parseAsync([...upscale, '--tile', '3', '--threads', '0', '--force']),
    (error) => error instanceof OperatorError && error.problems.length === 2,
  );
});
