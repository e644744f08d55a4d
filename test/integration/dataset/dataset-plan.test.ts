// What is found of a dataset before a run starts, without a process.

import assert from 'node:assert/strict';
import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import { planRun, type RunPlan } from '../../../coordinator/edge/run-plan.js';
import { formatIndex, type DatasetIndex } from '../../../dataset/dataset-index.js';
import { openStore } from '../../../shared/store/open-store.js';
import { packFaces, runIn, testFolder } from '../../support/tiny-run.js';

let folder: string;
let shard: string;

beforeEach(async () => {
  folder = testFolder();
  shard = join(folder, 'dataset', 'shard-000000.tar');
  await packFaces(`file://${folder}/dataset`, folder);
});

function plan(): Promise<RunPlan> {
  const spec = runIn(folder);
  const store = openStore(`file://${folder}/run`);
  const request = { run: 'run', store, storeOptions: {}, spec, ifExists: 'fail' } as const;
  return planRun({ ...request, worldSize: 1, until: undefined, nowMs: 0 });
}

async function changeIndex(change: (index: DatasetIndex) => DatasetIndex): Promise<void> {
  const path = join(folder, 'dataset', 'index.json');
  const index = JSON.parse(await readFile(path, 'utf8')) as DatasetIndex;
  await writeFile(path, formatIndex(change(index)));
}

test('a dataset that is whole starts without a word', async () => {
  const { notices, trainSamples, testSamples } = await plan();
  assert.deepEqual([notices, trainSamples + testSamples], [[], 17]);
});

for (const [what, damage, words] of [
  ['gone', () => rm(shard), /shard-000000\.tar: missing; allowed: \d+ bytes/],
  ['cut off', () => truncate(shard, 5000), /shard-000000\.tar: given 5000; allowed/],
  ['longer', () => appendFile(shard, 'x'), /shard-000000\.tar: given \d+; allowed/],
] as const)
  test(`a shard that is ${what} refuses the run by its name`, async () => {
    await damage();
    await assert.rejects(plan(), (error: Error) => {
      assert.match(error.message, words);
      assert.match(error.message, /lockstep dataset verify file:/);
      return true;
    });
  });

test('an index of the first format still starts a run, and it is said what it lacks', async () => {
  await changeIndex(({ shards, samples }) => ({
    ...{ format: 'lockstep-dataset/1', shards },
    samples: samples.map(({ sha256: _, ...sample }) => sample),
  }));
  const { notices, record } = await plan();
  assert.match(notices.join('|'), /^the dataset at file:.* is of the first format.* pack it again/);
  assert.match(record.spec.dataset.indexSha256 ?? '', /^[0-9a-f]{64}$/);
});
