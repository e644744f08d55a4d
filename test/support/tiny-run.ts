// A run that is small but has everything: both phases, BatchNorm in both networks, a loss on the
// features of a frozen network, an average of the generator, an epoch that ends within a step, and
// micro-shards enough for five workers; the dataset of real photographs that it trains on, and
// folders to run it in.

import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunSpec } from '../../shared/spec/schema.js';
import { stringify } from 'yaml';
import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { openPictureSource } from '../../dataset/picture-source.js';
import { packDataset } from '../../dataset/pack.js';
import { readDatasetIndex } from '../../dataset/dataset-index.js';
import { splitSamples } from '../../dataset/samples.js';
import { leavesOf } from '../../shared/plan/reduction.js';
import { openStore, type StoreOptions } from '../../shared/store/open-store.js';
import { readTestFaces, type TestFace } from '../../worker/data/faces.js';
import { createLoader } from '../../worker/data/loader.js';
import { facesFolder } from './pictures.js';
import type { BatchOf } from './reference-trainer.js';

/** A new folder, which goes when the test's process ends. */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-test-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What a spec file has that is not the tiny run's; `steps` are those of both phases. */
export type RunChange = Partial<RunSpec> & { readonly steps?: number };

/** Packs faces into `folder`/dataset and writes a spec `NAME.yaml` over them for each run. */
export async function writeRuns(
  folder: string,
  runs: Readonly<Record<string, RunChange>>,
): Promise<void> {
  await packFaces(`file://${folder}/dataset`, folder);
  for (const [name, change] of Object.entries(runs))
    await writeFile(join(folder, `${name}.yaml`), printSpec(runIn(folder, change)));
}

/** The spec of a run over the faces in `folder`. */
export function runIn(folder: string, { steps = 6, ...change }: RunChange = {}): RunSpec {
  return { ...tinyRun(`file://${folder}/dataset`, steps - 3), ...change };
}

/** A spec as YAML; `parseSpec` of it gives an equal spec. */
export function printSpec(spec: RunSpec): string {
  return stringify(spec, { lineWidth: 100 });
}

/**
 * The tiny run over the dataset at `datasetUrl`: 3 steps of pixel loss, then adversarial ones, of
 * which every other trains the discriminator alone.
 */
export function tinyRun(datasetUrl: string, adversarialSteps = 3): RunSpec {
  const feature = { network: 'face', layer: 'conv32_1', norm: 'mse', weight: 1 } as const;
  const loss = { pixel: 1, pixelNorm: 'mse', objective: 'bce' } as const;
  return {
    version: 1,
    name: 'tiny',
    seed: 11,
    dataset: {
      ...{ url: datasetUrl, testFraction: 0.2, splitBy: 'picture' },
      ...{ resize: 0, crop: 32, flip: true },
      degradation: { blur: [0, 1.5], noise: [0, 8], jpeg: [40, 95] },
    },
    batch: { microShards: 5, size: 2 },
    generator: {
      blocks: 1,
      channels: 8,
      normalization: 'batch',
      activation: 'prelu',
      order: 'norm-activation',
      upsampling: 'pixel-shuffle',
      upsamplingChannels: 16,
      skip: 'bicubic',
      output: 'linear',
    },
    discriminator: {
      channels: 4,
      normalization: 'batch',
      order: 'norm-activation',
      head: 'dense',
      hidden: 8,
    },
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    statisticsMomentum: 0.9,
    // Reached by the third update: before, the average forgets faster.
    ema: 0.3,
    phases: [
      {
        name: 'pixel',
        steps: 3,
        loss: { ...loss, adversarial: 0 },
        learningRate: {
          generator: 1e-3,
          discriminator: 0,
          warmUp: 2,
          steps: [{ at: 2, factor: 0.3 }],
        },
      },
      {
        name: 'adversarial',
        steps: adversarialSteps,
        loss: { ...loss, adversarial: 1e-3, features: [{ ...feature, activation: 'before' }] },
        learningRate: { generator: 1e-3, discriminator: 1e-3 },
        discriminatorSteps: 2,
      },
    ],
    checkpoint: { everySteps: 4, keep: 3 },
    evaluation: { everySteps: 0, faces: 2, limit: 3 },
    engine: { name: 'onnx', threads: 1 },
  };
}

/** Packs `count` faces into `url`, by way of a folder below `scratch`. */
export async function packFaces(
  url: string,
  scratch: string,
  count = 17,
  options: StoreOptions = {},
): Promise<void> {
  const folder = join(scratch, 'pictures');
  await mkdir(folder, { recursive: true });
  const files = (await readdir(facesFolder, { recursive: true })).filter((file) =>
    file.endsWith('.jpg'),
  );
  for (const file of files.sort().slice(0, count))
    await copyFile(join(facesFolder, file), join(folder, file.replaceAll('/', '-')));
  const target = openStore(url, options);
  const limits = { minSize: 32, shardMib: 1, strict: true, force: false };
  await packDataset({ source: await openPictureSource(folder), target, ...limits });
  await target.close();
}

/** All faces of `readTestFaces` at once. */
export async function loadTestFaces(
  options: Parameters<typeof readTestFaces>[0],
): Promise<TestFace[]> {
  const faces: TestFace[] = [];
  for await (const face of readTestFaces(options)) faces.push(face);
  return faces;
}

/** The micro-shards of a spec in the order of the training, one step after the other. */
export async function openBatches(
  spec: RunSpec,
): Promise<{ readonly batchOf: BatchOf; close(): Promise<void> }> {
  const { seed, dataset, batch } = spec;
  const store = openStore(dataset.url);
  const { index } = await readDatasetIndex(store);
  await store.close();
  const { train: samples } = splitSamples(index, dataset.testFraction, dataset.splitBy);
  const { microShards, size: microShardSize } = batch;
  const order = { seed, samples: samples.length, microShards, microShardSize };
  const loader = createLoader({
    ...dataset,
    storeUrl: dataset.url,
    index,
    samples,
    order,
    seed,
    cacheMib: 16,
    threads: 1,
    aheadMicroShards: 2,
  });
  loader.start(0, leavesOf({ start: 0, end: microShards }));
  return {
    batchOf: async (step, leaf) => {
      const { hr, lr } = await loader.take(step, leaf);
      return { hr, lr };
    },
    close: () => loader.close(),
  };
}
