import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import sharp from 'sharp';
import { packDataset } from '../../../dataset/pack.js';
import { openPictureSource } from '../../../dataset/picture-source.js';
import { readDatasetIndex } from '../../../dataset/dataset-index.js';
import { splitSamples } from '../../../dataset/samples.js';
import { meanOf, summarize } from '../../../inference/evaluation/judge.js';
import { pictureOf } from '../../../inference/pictures/picture.js';
import { qualityOf } from '../../../inference/quality.js';
import { createState } from '../../../shared/checkpoint/state.js';
import { createLayout } from '../../../shared/layout.js';
import { loadPreset } from '../../../shared/spec/load.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { openStore } from '../../../shared/store/open-store.js';
import type { NamedTensors } from '../../../task/task.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { createEvaluator } from '../../../worker/evaluation/evaluator.js';
import { createHostEngineState } from '../../../worker/engine/host-engine-state.js';
import type { ToNetwork } from '../../../worker/network/ports.js';
import { createEvaluations } from '../../../worker/training/checkpoints.js';
import { LocalState } from '../../../worker/training/state.js';
import { loadTestFaces, testFolder } from '../../support/tiny-run.js';

const faces = 8;
const folder = testFolder();
let spec: RunSpec;

/** Pictures of waves, of two sizes. */
async function drawFaces(to: string): Promise<void> {
  for (let n = 0; n < faces; n++) {
    const [width, height] = n % 2 === 0 ? [72, 64] : [64, 64];
    const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
      return Math.round(128 + 100 * Math.sin((x * (n + 2)) / 9 + (i % 3)) * Math.cos(y / (n + 1)));
    });
    await sharp(data, { raw: { width, height, channels: 3 } }).toFile(join(to, `${n}.png`));
  }
}

before(async () => {
  await drawFaces(folder);
  const url = `file://${folder}/dataset`;
  const target = openStore(url);
  const limits = { minSize: 64, shardMib: 1, strict: true, force: false };
  await packDataset({ source: await openPictureSource(folder), target, ...limits });
  await target.close();
  spec = loadPreset('demo', [
    `dataset.url=${url}`,
    'dataset.testFraction=0.6',
    'generator.blocks=1',
    'generator.channels=4',
    'generator.upsamplingChannels=8',
    'generator.normalization=batch',
    'evaluation.limit=4',
  ]);
});

function snapshotOf(seed: number) {
  const task = createSrganTask(spec);
  const { network } = task.inference;
  const parameters = task.initialParameters(network, seed);
  // Away from their initial values, where zeros and ones would hide a mix-up.
  parameters.forEach((value, i) => (parameters[i] = value + 0.02 * Math.sin(i)));
  const statistics = task.initialStatistics(network);
  statistics.forEach((value, i) => (statistics[i] = value + 0.1 * (i % 5)));
  return { parameters, statistics };
}

/** The means as TF.js's own CPU backend has them, by the definition. */
async function expectedQuality(snapshot: ReturnType<typeof snapshotOf>) {
  await tf.setBackend('cpu');
  const task = createSrganTask(spec);
  const network = task.networks.find(({ name }) => name === task.inference.network);
  assert.ok(network !== undefined);
  const tensorsOf = (specs: typeof network.parameters, flat: Float32Array): NamedTensors =>
    Object.fromEntries(
      createLayout(specs).slices.map(({ name, shape, offset, size }) => [
        name,
        tf.tensor(flat.slice(offset, offset + size), [...shape]),
      ]),
    );
  const weights = {
    ...tensorsOf(network.parameters, snapshot.parameters),
    ...tensorsOf(network.statistics, snapshot.statistics),
  };
  const store = openStore(spec.dataset.url);
  const { index } = await readDatasetIndex(store);
  const { test: samples } = splitSamples(index, spec.dataset.testFraction);
  const options = { store, index, samples, resize: 0, limit: spec.evaluation.limit };
  const qualities = (await loadTestFaces(options)).map(({ width, height, hr, lr }) => {
    const input = tf.tensor(lr, [1, height / 4, width / 4, 3]);
    const made = task.inference.run({ ...weights, input }).dataSync() as Float32Array;
    const original = pictureOf(hr, width, height, 'signed');
    return qualityOf(pictureOf(made, width, height, 'signed'), original);
  });
  return summarize(qualities, meanOf);
}

function runUrl(name: string): string {
  return `file://${folder}/runs/${name}`;
}

test('the thread finds the figures of the reference and writes the pictures', async (t) => {
  const url = runUrl('a');
  const evaluator = createEvaluator({ spec, runUrl: url, storeOptions: {}, threads: 1 });
  t.after(() => evaluator.close());
  const run = openStore(url);
  for (const [seed, step] of [
    [1, 5],
    [2, 10],
  ] as const) {
    const snapshot = snapshotOf(seed);
    const outcome = await evaluator.evaluate({ ...snapshot, step, isLast: step === 10 });
    assert.equal(outcome.kind, 'evaluated', JSON.stringify(outcome));
    if (outcome.kind !== 'evaluated') return;
    const { report } = outcome;
    const expected = await expectedQuality(snapshot);
    assert.ok(Math.abs(report.psnr - expected.psnr) < 0.01, `${report.psnr} ${expected.psnr}`);
    assert.ok(Math.abs(report.ssim - expected.ssim) < 1e-4);
    assert.equal(report.faces, 4);
    assert.ok(report.bicubicPsnr > 10 && report.bicubicPsnr < 60);
    const { identity, bicubicIdentity } = report;
    for (const distance of [identity, bicubicIdentity])
      assert.ok(distance !== undefined && distance > 0 && distance < 1, `${distance}`);
    const { format } = await sharp(await run.get(report.sampleKey)).metadata();
    assert.equal(format, 'png');
  }
});

test('the generator is judged by its average, where it has one', async (t) => {
  const average = snapshotOf(1);
  const task = createSrganTask({ ...spec, ema: 0.9 });
  const { network } = task.inference;
  const state = createState(task.networks);
  state.networks[network].parameters.fill(1);
  state.networks[network].average.set(average.parameters);
  state.networks[network].statistics.set(average.statistics);
  const setup = { spec, runUrl: runUrl('c'), storeOptions: {}, threads: 1 };
  const found: number[] = [];
  const send = (sent: ToNetwork): void => {
    if (sent.kind === 'tell' && sent.message.kind === 'evaluation') found.push(sent.message.psnr);
  };
  const evaluations = createEvaluations(setup, { send, warn: (text) => assert.fail(text) });
  t.after(() => evaluations.close());
  const host = await createHostEngineState(task.networks, () => assert.fail());
  await host.write(state.networks);
  const local = new LocalState(
    task.networks,
    host,
    () => assert.fail(),
    () => undefined,
  );
  evaluations.evaluate(0, await local.readForUse(network), true);
  await evaluations.drain();
  const [psnr] = found;
  const expected = await expectedQuality(average);
  assert.ok(Math.abs(psnr - expected.psnr) < 0.01, `${psnr} ${expected.psnr}`);
});

test('a dataset that is not there is a reason, not a crash', async (t) => {
  const lost = { ...spec, dataset: { ...spec.dataset, url: `file://${folder}/nowhere` } };
  const url = runUrl('b');
  const evaluator = createEvaluator({ spec: lost, runUrl: url, storeOptions: {}, threads: 1 });
  t.after(() => evaluator.close());
  const outcome = await evaluator.evaluate({ ...snapshotOf(1), step: 1, isLast: true });
  assert.equal(outcome.kind, 'failed');
  assert.match(outcome.kind === 'failed' ? outcome.reason : '', /There is no dataset/);
});
