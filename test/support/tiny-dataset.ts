// A small packed dataset of real photographs, and the micro-shards that a spec draws from it.

import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openPictureSource } from '../../dataset/picture-source.js';
import { packDataset } from '../../dataset/pack.js';
import { readDatasetIndex } from '../../dataset/dataset-index.js';
import { splitSamples } from '../../dataset/samples.js';
import { leavesOf } from '../../shared/plan/reduction.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { openStore, type StoreOptions } from '../../shared/store/open-store.js';
import { readTestFaces, type TestFace } from '../../worker/data/faces.js';
import { createLoader } from '../../worker/data/loader.js';
import { facesFolder } from './pictures.js';
import type { BatchOf } from './reference-trainer.js';

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
  const { train: samples } = splitSamples(index, dataset.testFraction);
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
